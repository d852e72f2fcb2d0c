/* See minisign.h. */
#include "format/crypto/minisign.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/num.h"
#include "format/crypto/base64.h"

#define UNTRUSTED     "untrusted comment: "
#define TRUSTED	      "trusted comment: "
#define UNTRUSTED_MAX 1023u

/* What is inside the base64, byte for byte. */
struct raw_public {
	char algorithm[2];
	uint8_t id[MINISIGN_ID];
	uint8_t key[32];
};

struct raw_secret {
	char algorithm[2];
	char kdf[2];
	char checksum_algorithm[2];
	uint8_t salt[32];
	uint8_t opslimit[8];
	uint8_t memlimit[8];
	struct minisign_locked part;
};

struct raw_signature {
	char algorithm[2];
	uint8_t id[MINISIGN_ID];
	uint8_t signature[MINISIGN_SIGNATURE];
};

_Static_assert(sizeof(struct raw_public) == 42, "as minisign has it");
_Static_assert(sizeof(struct raw_secret) == 158, "as minisign has it");
_Static_assert(sizeof(struct raw_signature) == 74, "as minisign has it");
_Static_assert(BASE64_LEN(sizeof(struct raw_public)) == MINISIGN_KEY_LINE, "a bare key");

/* What is left to read. */
struct text {
	const char *at;
	size_t len;
};

struct line {
	const char *at;
	size_t len;
};

static int bad(struct err *err, const char *why)
{
	return err_set(err, ERR_INTEGRITY, "%s", why);
}

/* The last line needs no newline; a carriage return before one is dropped, as minisign does. */
static int next_line(struct text *text, struct line *line, struct err *err)
{
	const char *end;

	if (text->len == 0)
		return bad(err, "it ends too early");
	end = memchr(text->at, '\n', text->len);
	line->at = text->at;
	line->len = end != NULL ? (size_t)(end - text->at) : text->len;
	text->at += line->len + (end != NULL);
	text->len -= line->len + (end != NULL);
	if (line->len > 0 && line->at[line->len - 1] == '\r')
		line->len--;
	return 0;
}

static bool starts_with(const struct line *line, const char *prefix)
{
	return line->len >= strlen(prefix) && memcmp(line->at, prefix, strlen(prefix)) == 0;
}

static int untrusted_line(struct text *text, struct err *err)
{
	struct line line;
	int ret = next_line(text, &line, err);

	if (ret < 0)
		return ret;
	return starts_with(&line, UNTRUSTED) && line.len <= UNTRUSTED_MAX
		       ? 0
		       : bad(err, "it does not begin with an untrusted comment");
}

static int base64_line(struct text *text, void *raw, size_t size, struct err *err)
{
	struct line line;
	int ret = next_line(text, &line, err);

	if (ret < 0)
		return ret;
	return base64_decode(line.at, line.len, raw, size)
		       ? 0
		       : bad(err, "it is not base64 of the right length");
}

/* What each of the three begins with. A public key's comment may be missing. */
static int first_lines(struct text *text, bool bare, void *raw, size_t size, struct err *err)
{
	const struct line all = {text->at, text->len};

	if (text->len > MINISIGN_TEXT)
		return bad(err, "it is too long");
	if (!bare || starts_with(&all, UNTRUSTED)) {
		int ret = untrusted_line(text, err);

		if (ret < 0)
			return ret;
	}
	return base64_line(text, raw, size, err);
}

static int text_end(const struct text *text, struct err *err)
{
	return text->len == 0 ? 0 : bad(err, "something stands behind its end");
}

static bool is(const char two[2], const char *name)
{
	return memcmp(two, name, 2) == 0;
}

/* The two letters are not trusted: they may not be printable. */
static int unknown(struct err *err, const char *what, const char two[2])
{
	if (two[0] > ' ' && two[0] <= '~' && two[1] > ' ' && two[1] <= '~')
		return err_set(err, ERR_INTEGRITY, "its %s is %.2s, which is not known here", what,
			       two);
	return err_set(err, ERR_INTEGRITY, "its %s is 0x%02x%02x, which is not known here", what,
		       (uint8_t)two[0], (uint8_t)two[1]);
}

void minisign_id_text(const uint8_t id[MINISIGN_ID], char text[MINISIGN_ID_TEXT])
{
	snprintf(text, MINISIGN_ID_TEXT, "%016llX", (unsigned long long)le_get64(id));
}

int minisign_public_decode(struct minisign_public *key, const char *text, size_t len,
			   struct err *err)
{
	struct text rest = {text, len};
	struct raw_public raw;
	int ret = first_lines(&rest, true, &raw, sizeof(raw), err);

	if (ret < 0)
		return err_context(err, ret, "not a public key");
	ret = text_end(&rest, err);
	if (ret < 0)
		return err_context(err, ret, "not a public key");
	if (!is(raw.algorithm, "Ed"))
		return unknown(err, "algorithm", raw.algorithm);
	memcpy(key->id, raw.id, sizeof(key->id));
	memcpy(key->key, raw.key, sizeof(key->key));
	return 0;
}

static int secret_algorithms(const struct raw_secret *raw, struct err *err)
{
	if (!is(raw->algorithm, "Ed"))
		return unknown(err, "algorithm", raw->algorithm);
	if (!is(raw->kdf, "Sc") && !is(raw->kdf, "\0"))
		return unknown(err, "key derivation", raw->kdf);
	if (!is(raw->checksum_algorithm, "B2"))
		return unknown(err, "checksum", raw->checksum_algorithm);
	return 0;
}

static int secret_decode(struct minisign_secret *key, struct raw_secret *raw, const char *text,
			 size_t len, struct err *err)
{
	struct text rest = {text, len};
	int ret = first_lines(&rest, false, raw, sizeof(*raw), err);

	if (ret < 0)
		return err_context(err, ret, "not a secret key");
	ret = text_end(&rest, err);
	if (ret < 0)
		return err_context(err, ret, "not a secret key");
	ret = secret_algorithms(raw, err);
	if (ret < 0)
		return ret;
	key->is_locked = is(raw->kdf, "Sc");
	memcpy(key->salt, raw->salt, sizeof(key->salt));
	key->opslimit = le_get64(raw->opslimit);
	key->memlimit = le_get64(raw->memlimit);
	key->part = raw->part;
	return 0;
}

int minisign_secret_decode(struct minisign_secret *key, const char *text, size_t len,
			   struct err *err)
{
	struct raw_secret raw;
	int ret = secret_decode(key, &raw, text, len, err);

	explicit_bzero(&raw, sizeof(raw));
	return ret;
}

static int trusted_line(struct text *text, char comment[MINISIGN_COMMENT + 1], struct err *err)
{
	struct line line;
	int ret = next_line(text, &line, err);

	if (ret < 0)
		return ret;
	if (!starts_with(&line, TRUSTED))
		return bad(err, "it has no trusted comment");
	line.at += strlen(TRUSTED);
	line.len -= strlen(TRUSTED);
	if (line.len > MINISIGN_COMMENT || memchr(line.at, '\0', line.len) != NULL)
		return bad(err, "its trusted comment is too long or no text");
	memcpy(comment, line.at, line.len);
	comment[line.len] = '\0';
	return minisign_comment_ok(comment)
		       ? 0
		       : bad(err, "its trusted comment has unprintable characters");
}

static int signature_lines(struct minisign_signature *sig, struct raw_signature *raw,
			   struct text text, struct err *err)
{
	int ret = first_lines(&text, false, raw, sizeof(*raw), err);

	if (ret < 0)
		return ret;
	ret = trusted_line(&text, sig->comment, err);
	if (ret < 0)
		return ret;
	ret = base64_line(&text, sig->global, sizeof(sig->global), err);
	return ret < 0 ? ret : text_end(&text, err);
}

int minisign_signature_decode(struct minisign_signature *sig, const char *text, size_t len,
			      struct err *err)
{
	struct raw_signature raw;
	int ret = signature_lines(sig, &raw, (struct text){text, len}, err);

	if (ret < 0)
		return err_context(err, ret, "not a signature");
	if (!is(raw.algorithm, "ED") && !is(raw.algorithm, "Ed"))
		return unknown(err, "algorithm", raw.algorithm);
	sig->prehashed = is(raw.algorithm, "ED");
	memcpy(sig->id, raw.id, sizeof(sig->id));
	memcpy(sig->signature, raw.signature, sizeof(sig->signature));
	return 0;
}

void minisign_public_line(const struct minisign_public *key, char line[MINISIGN_KEY_LINE + 1])
{
	struct raw_public raw = {.algorithm = {'E', 'd'}};

	memcpy(raw.id, key->id, sizeof(raw.id));
	memcpy(raw.key, key->key, sizeof(raw.key));
	base64_encode(&raw, sizeof(raw), line);
}

size_t minisign_public_encode(const struct minisign_public *key, char text[MINISIGN_TEXT])
{
	char line[MINISIGN_KEY_LINE + 1], id[MINISIGN_ID_TEXT];

	minisign_id_text(key->id, id);
	minisign_public_line(key, line);
	return (size_t)snprintf(text, MINISIGN_TEXT, UNTRUSTED "torpor public key %s\n%s\n", id,
				line);
}

size_t minisign_secret_encode(const struct minisign_secret *key, char text[MINISIGN_TEXT])
{
	struct raw_secret raw = {.algorithm = {'E', 'd'}, .checksum_algorithm = {'B', '2'}};
	char line[BASE64_LEN(sizeof(raw)) + 1];
	int len;

	memcpy(raw.kdf, key->is_locked ? "Sc" : "\0", sizeof(raw.kdf));
	memcpy(raw.salt, key->salt, sizeof(raw.salt));
	le_put64(raw.opslimit, key->opslimit);
	le_put64(raw.memlimit, key->memlimit);
	raw.part = key->part;
	base64_encode(&raw, sizeof(raw), line);
	len = snprintf(text, MINISIGN_TEXT, UNTRUSTED "torpor %s secret key\n%s\n",
		       key->is_locked ? "encrypted" : "unencrypted", line);
	explicit_bzero(&raw, sizeof(raw));
	explicit_bzero(line, sizeof(line));
	return (size_t)len;
}

size_t minisign_signature_encode(const struct minisign_signature *sig, char text[MINISIGN_TEXT])
{
	struct raw_signature raw;
	char line[BASE64_LEN(sizeof(raw)) + 1], global[BASE64_LEN(MINISIGN_SIGNATURE) + 1];

	assert(minisign_comment_ok(sig->comment));
	memcpy(raw.algorithm, sig->prehashed ? "ED" : "Ed", sizeof(raw.algorithm));
	memcpy(raw.id, sig->id, sizeof(raw.id));
	memcpy(raw.signature, sig->signature, sizeof(raw.signature));
	base64_encode(&raw, sizeof(raw), line);
	base64_encode(sig->global, sizeof(sig->global), global);
	return (size_t)snprintf(text, MINISIGN_TEXT,
				UNTRUSTED "signature from torpor secret key\n%s\n" TRUSTED
					  "%s\n%s\n",
				line, sig->comment, global);
}

bool minisign_comment_ok(const char *comment)
{
	size_t len = strlen(comment);

	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)comment[i], next = (uint8_t)comment[i + 1];

		/* C0 but for the tab, DEL, and C1 as UTF-8 spells it. */
		if ((c < ' ' && c != '\t') || c == 0x7f ||
		    (c == 0xc2 && next >= 0x80 && next < 0xa0))
			return false;
	}
	return len <= MINISIGN_COMMENT;
}
