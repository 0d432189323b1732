# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# In L1: what goes from one traced guest to another.
exec python3 -u "$IN/wires.py"
