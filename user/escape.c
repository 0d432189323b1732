// SPDX-License-Identifier: GPL-2.0
/* Safe forms of untrusted bytes. */
#include <stdint.h>

#include "escape.h"

/*
 * The character at bytes (RFC 3629: no surrogates, nothing overlong), and the
 * bytes that it takes; -1 and 1 where there is none.
 */
static int32_t next_character(const char *bytes, size_t len, size_t *taken)
{
	static const int32_t lowest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *b = (const unsigned char *)bytes;
	size_t n = b[0] < 0x80	 ? 1
		   : b[0] < 0xc2 ? 0
		   : b[0] < 0xe0 ? 2
		   : b[0] < 0xf0 ? 3
		   : b[0] < 0xf5 ? 4
				 : 0;
	int32_t c;
	size_t i;

	*taken = 1;
	if (!n || n > len)
		return -1;
	c = n == 1 ? b[0] : b[0] & (0x7f >> n);
	for (i = 1; i < n; i++) {
		if ((b[i] & 0xc0) != 0x80)
			return -1;
		c = c << 6 | (b[i] & 0x3f);
	}
	if (c < lowest[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return -1;
	*taken = n;
	return c;
}

/* Neither control nor format character, private or unassigned for good. */
static bool is_plain(int32_t c)
{
	static const struct {
		int32_t first, last;
	} odd[] = {
		{ 0x00, 0x1f },	       { 0x7f, 0x9f }, /* C0, DEL, C1 */
		{ 0xad, 0xad },	       { 0x61c, 0x61c },   { 0x180e, 0x180e },
		{ 0x200b, 0x200f }, /* zero width, direction marks */
		{ 0x2028, 0x202e }, /* line separators, direction overrides */
		{ 0x2060, 0x206f },    { 0xd800, 0xf8ff }, { 0xfdd0, 0xfdef },
		{ 0xfeff, 0xfeff },    { 0xfff0, 0xfffb }, { 0xfffe, 0xffff },
		{ 0xe0000, 0x10ffff }, /* tags, variation selectors, private */
	};
	size_t i;

	for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		if (c >= odd[i].first && c <= odd[i].last)
			return false;
	return true;
}

bool escape_is_utf8(const char *bytes, size_t len)
{
	size_t i, taken;

	for (i = 0; i < len; i += taken)
		if (next_character(bytes + i, len - i, &taken) < 0)
			return false;
	return true;
}

static void json_character(FILE *out, int32_t c, const char *bytes, size_t taken)
{
	if (c == '"' || c == '\\')
		fprintf(out, "\\%c", c);
	else if (is_plain(c))
		fwrite(bytes, 1, taken, out);
	else if (c == '\n')
		fputs("\\n", out);
	else if (c == '\t')
		fputs("\\t", out);
	else if (c < 0x10000)
		fprintf(out, "\\u%04x", c);
	else
		fprintf(out, "\\u%04x\\u%04x", 0xd7c0 + (c >> 10), 0xdc00 + (c & 0x3ff));
}

void escape_json(FILE *out, const char *bytes, size_t len)
{
	size_t i, taken;
	int32_t c;

	fputc('"', out);
	for (i = 0; i < len; i += taken) {
		c = next_character(bytes + i, len - i, &taken);
		if (c < 0)
			fputs("\\ufffd", out);
		else
			json_character(out, c, bytes + i, taken);
	}
	fputc('"', out);
}

void escape_text(FILE *out, const char *bytes, size_t len)
{
	size_t i, k, taken;
	int32_t c;

	for (i = 0; i < len; i += taken) {
		c = next_character(bytes + i, len - i, &taken);
		if (c == '\\')
			fputs("\\\\", out);
		else if (c >= 0 && is_plain(c))
			fwrite(bytes + i, 1, taken, out);
		else
			for (k = 0; k < taken; k++)
				fprintf(out, "\\x%02x", (unsigned char)bytes[i + k]);
	}
}
