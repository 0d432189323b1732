/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Bytes from the guest, made safe to print. A path may hold anything but NUL:
 * newlines that would fake a record, escape sequences that a terminal obeys,
 * marks that turn text around, bytes that are no UTF-8.
 */
#ifndef KVMTAINT_ESCAPE_H
#define KVMTAINT_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Whether the bytes are well-formed UTF-8, that is, JSON can hold them as they are. */
bool escape_is_utf8(const char *bytes, size_t len);

/*
 * As a JSON string with its quotes. Characters that are not plain print are
 * written as \uXXXX; every byte that is not UTF-8 becomes U+FFFD.
 */
void escape_json(FILE *out, const char *bytes, size_t len);

/* For people: '\' doubled, what is not plain print as \xNN, byte by byte. */
void escape_text(FILE *out, const char *bytes, size_t len);

#endif
