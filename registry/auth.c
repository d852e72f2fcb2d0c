/* See auth.h. */
#include "registry/auth.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/num.h"

/* What the protocol has for an answer without `expires_in`. */
#define TOKEN_SECONDS 60u
#define TOKEN_LONGEST 86400u

static const char *skip_spaces(const char *text)
{
	return text + strspn(text, " \t,");
}

/* One NAME=VALUE or NAME="VALUE"; the value goes to `out`, "" when it is too long or malformed.
 * Returns what is behind it, NULL at the end. */
static const char *take_parameter(const char *text, const char **name, size_t *name_len, char *out,
				  size_t size)
{
	size_t len = 0;
	bool fits = true;

	text = skip_spaces(text);
	*name = text;
	*name_len = strcspn(text, "= \t,");
	text += *name_len;
	out[0] = '\0';
	if (*text != '=' || *name_len == 0)
		return NULL;
	text++;
	if (*text != '"') {
		len = strcspn(text, " \t,");
		if (len < size) {
			memcpy(out, text, len);
			out[len] = '\0';
		}
		return text + len;
	}
	for (text++; *text != '"'; text++) {
		if (*text == '\\' && text[1] != '\0')
			text++;
		if (*text == '\0') {
			out[0] = '\0';
			return NULL;
		}
		if (len + 1 < size)
			out[len++] = *text;
		else
			fits = false;
	}
	out[fits ? len : 0] = '\0';
	return text + 1;
}

void auth_parse_challenge(struct auth_challenge *c, const char *header)
{
	const struct {
		const char *name;
		char *value;
		size_t size;
	} known[] = {
		{"realm", c->realm, sizeof(c->realm)},
		{"service", c->service, sizeof(c->service)},
		{"scope", c->scope, sizeof(c->scope)},
		{"error", c->error, sizeof(c->error)},
	};
	size_t scheme = strcspn(header, " \t");
	const char *at = header + scheme;

	*c = (struct auth_challenge){.kind = AUTH_NONE};
	if (scheme == 5 && strncasecmp(header, "Basic", 5) == 0)
		c->kind = AUTH_BASIC;
	else if (scheme == 6 && strncasecmp(header, "Bearer", 6) == 0)
		c->kind = AUTH_BEARER;
	else
		return;
	while (at != NULL && *skip_spaces(at) != '\0') {
		char value[sizeof(c->realm)];
		const char *name;
		size_t len;

		at = take_parameter(at, &name, &len, value, sizeof(value));
		for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
			if (strlen(known[i].name) == len &&
			    strncasecmp(name, known[i].name, len) == 0 &&
			    strlen(value) < known[i].size)
				strcpy(known[i].value, value);
		}
	}
	if (c->kind == AUTH_BEARER && c->realm[0] == '\0')
		c->kind = AUTH_NONE;
}

/* RFC 3986, "Percent-Encoding": all but the unreserved characters. */
static void add_encoded(struct buf *b, const char *text)
{
	for (; *text != '\0'; text++) {
		if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~",
			   *text) != NULL)
			buf_add(b, text, 1);
		else
			buf_printf(b, "%%%02X", (unsigned)(uint8_t)*text);
	}
}

/* One parameter for each of the scopes. */
static void add_scopes(struct buf *b, const char *scope)
{
	while (*scope != '\0') {
		size_t len = strcspn(scope, " ");
		char one[512];

		if (len > 0 && len < sizeof(one)) {
			memcpy(one, scope, len);
			one[len] = '\0';
			buf_printf(b, "&scope=");
			add_encoded(b, one);
		}
		scope += len + strspn(scope + len, " ");
	}
}

static int finish(struct buf *b, struct err *err)
{
	buf_add(b, "", 1);
	return buf_failed(b) ? err_sys(err, ENOMEM, "ask for a token") : 0;
}

int auth_token_url(struct buf *url, const struct auth_challenge *c, const char *scope,
		   struct err *err)
{
	buf_printf(url, "%s%sservice=", c->realm, strchr(c->realm, '?') != NULL ? "&" : "?");
	add_encoded(url, c->service);
	add_scopes(url, scope);
	return finish(url, err);
}

int auth_token_form(struct buf *form, const struct auth_challenge *c, const char *scope,
		    const struct credentials *credentials, struct err *err)
{
	buf_printf(form, "grant_type=refresh_token&client_id=torpor&service=");
	add_encoded(form, c->service);
	buf_printf(form, "&scope=");
	add_encoded(form, scope);
	buf_printf(form, "&refresh_token=");
	add_encoded(form, credentials->secret);
	return finish(form, err);
}

int auth_parse_token(const struct buf *answer, char token[HTTP_SECRET], uint64_t *seconds,
		     struct err *err)
{
	cleanup_json json_t *json = NULL;
	const char *text;
	size_t len;

	if (answer->len > 0)
		json = json_parse(answer->data, answer->len, NULL);
	text = json_string_value(json_object_get(json, "token"));
	if (text == NULL)
		text = json_string_value(json_object_get(json, "access_token"));
	len = text != NULL ? strlen(text) : 0;
	/* RFC 6750, "Authorization Request Header Field": what a token may be made of. */
	if (len == 0 || len + sizeof("Bearer ") > HTTP_SECRET ||
	    strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=") !=
		    len)
		return err_set(err, ERR_FAILED, "its answer holds no token");
	strcpy(token, text);
	*seconds = TOKEN_SECONDS;
	if (json_object_get(json, "expires_in") != NULL)
		(void)json_get_uint(json, "expires_in", 0, TOKEN_LONGEST, seconds, NULL);
	return 0;
}
