/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KVMTAINT_VERSION_H
#define KVMTAINT_VERSION_H

#define KVMTAINT_VERSION "0.1"

#endif
