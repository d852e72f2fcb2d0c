/* See reference.h. */
#include "store/reference.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_HOST "docker.io"
#define DEFAULT_TAG  "latest"
#define LOWER	     "abcdefghijklmnopqrstuvwxyz0123456789"
#define LETTERS	     LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

bool reference_is_remote(const char *text)
{
	return strncmp(text, REFERENCE_SCHEME, sizeof(REFERENCE_SCHEME) - 1) == 0;
}

static int reference_refuse(const char *text, const char *why, struct err *err)
{
	return err_set(err, ERR_USAGE, "'%s' is no reference ([docker://][HOST/]NAME[:TAG]): %s",
		       text, why);
}

/* A name or an address, then maybe a port. */
static bool host_is_valid(const char *host)
{
	size_t len;

	if (host[0] == '[') {
		len = strspn(host + 1, "0123456789abcdefABCDEF:.");
		if (len == 0 || host[1 + len] != ']')
			return false;
		host += len + 2;
	} else {
		len = strspn(host, LETTERS ".-");
		if (len == 0 || host[0] == '-' || host[0] == '.')
			return false;
		host += len;
	}
	if (host[0] == '\0')
		return true;
	len = strspn(host + 1, "0123456789");
	return host[0] == ':' && len >= 1 && len <= 5 && host[1 + len] == '\0' &&
	       strtoul(host + 1, NULL, 10) - 1 < UINT16_MAX;
}

/* One separator: '.', '_', "__", or hyphens. Returns its length, 0 when there is none. */
static size_t separator(const char *text)
{
	size_t hyphens = strspn(text, "-");

	if (hyphens > 0)
		return hyphens;
	if (text[0] == '_')
		return text[1] == '_' ? 2 : 1;
	return text[0] == '.' ? 1 : 0;
}

/* Components of lower-case letters and digits with separators between them, slashes between
 * components. */
bool reference_is_repository(const char *text)
{
	for (;;) {
		size_t len = strspn(text, LOWER), between;

		if (len == 0)
			return false;
		text += len;
		if (*text == '\0')
			return true;
		between = *text == '/' ? 1 : separator(text);
		if (between == 0)
			return false;
		text += between;
	}
}

bool reference_is_tag(const char *tag)
{
	return tag[0] != '\0' && tag[0] != '.' && tag[0] != '-' &&
	       strspn(tag, LETTERS "_.-") == strlen(tag);
}

static bool looks_like_host(const char *component)
{
	return strpbrk(component, ".:") != NULL || strcmp(component, REFERENCE_LOCAL) == 0;
}

/* Cut "@DIGEST" and ":TAG" off the end of `rest`. */
static int cut_version(struct reference *ref, char *rest, const char *text, struct err *err)
{
	uint8_t digest[DIGEST_SIZE];
	char *at = strchr(rest, '@');
	char *colon;

	if (at != NULL) {
		*at = '\0';
		if (!digest_parse(at + 1, digest))
			return reference_refuse(
				text, "the digest is not sha256: and 64 lower-case hex digits",
				err);
		strcpy(ref->digest, at + 1);
	}
	colon = strchr(rest, ':');
	if (colon != NULL) {
		*colon = '\0';
		if (strlen(colon + 1) >= sizeof(ref->tag) || !reference_is_tag(colon + 1))
			return reference_refuse(
				text, "a tag has up to 128 letters, digits, '_', '.' and '-'", err);
		strcpy(ref->tag, colon + 1);
	}
	if (ref->tag[0] == '\0' && ref->digest[0] == '\0')
		strcpy(ref->tag, DEFAULT_TAG);
	return 0;
}

int reference_parse(struct reference *ref, const char *text, struct err *err)
{
	char copy[REFERENCE_TEXT];
	bool remote = reference_is_remote(text), library;
	const char *given = remote ? text + sizeof(REFERENCE_SCHEME) - 1 : text;
	char *rest = copy, *slash;
	int ret;

	*ref = (struct reference){0};
	if (strlen(given) >= sizeof(copy))
		return reference_refuse("…", "it is too long", err);
	strcpy(copy, given);
	slash = strchr(copy, '/');
	if (slash != NULL) {
		*slash = '\0';
		if (looks_like_host(copy))
			rest = slash + 1;
		else
			*slash = '/';
	}
	if (rest != copy) {
		if (strlen(copy) >= sizeof(ref->host) || !host_is_valid(copy))
			return reference_refuse(text,
						"its host is no host name or address, or its port "
						"is none of 1 to 65535",
						err);
		strcpy(ref->host, copy);
	} else {
		strcpy(ref->host, remote ? DEFAULT_HOST : REFERENCE_LOCAL);
	}
	ret = cut_version(ref, rest, text, err);
	if (ret < 0)
		return ret;
	if (!reference_is_repository(rest))
		return reference_refuse(text,
					"a name has lower-case letters and digits, with '.', '_', "
					"'-' and '/' between them",
					err);
	library = strcmp(ref->host, DEFAULT_HOST) == 0 && strchr(rest, '/') == NULL;
	if (snprintf(ref->repository, sizeof(ref->repository), "%s%s", library ? "library/" : "",
		     rest) >= (int)sizeof(ref->repository))
		return reference_refuse(text, "its name is too long", err);
	return 0;
}

void reference_text(const struct reference *ref, char text[REFERENCE_TEXT])
{
	snprintf(text, REFERENCE_TEXT, "%s/%s%s%s%s%s", ref->host, ref->repository,
		 ref->tag[0] != '\0' ? ":" : "", ref->tag, ref->digest[0] != '\0' ? "@" : "",
		 ref->digest);
}

bool reference_is_loopback(const char *host)
{
	char name[REFERENCE_HOST];
	struct in_addr address;
	size_t len;

	if (strncmp(host, "[::1]", 5) == 0)
		return host[5] == '\0' || host[5] == ':';
	len = strcspn(host, ":");
	if (len >= sizeof(name))
		return false;
	memcpy(name, host, len);
	name[len] = '\0';
	if (strcmp(name, REFERENCE_LOCAL) == 0)
		return true;
	return inet_pton(AF_INET, name, &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
}
