/*
 * Text of a guest, made fit for a report in another language than its own. Bytes that are not UTF-8
 * become U+FFFD. Pure; any thread. Without memory buf_failed() says so.
 */
#ifndef TORPOR_GOLDEN_MARKUP_H
#define TORPOR_GOLDEN_MARKUP_H

#include "base/buf.h"

/* Characters of XML 1.0 (2.2 Char) and HTML, which may stand between tags and within quotes.
 * Newlines and tabs stay, other characters below U+0020 become pictures of them (U+2400), and what
 * XML forbids or shows text in another order becomes U+FFFD. */
void markup_add(struct buf *out, const char *text, size_t len);
/* The same for a value in quotes, where a newline would become a space. `text` ends with NUL. */
void markup_add_value(struct buf *out, const char *text);
/* UTF-8 with every character kept, for what escapes itself. */
void markup_add_utf8(struct buf *out, const char *text, size_t len);

#endif
