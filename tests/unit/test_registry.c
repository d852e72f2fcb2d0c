/* Names of images, and what registries say: references, challenges, tokens, manifests, headers. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "registry/auth.h"
#include "registry/credentials.h"
#include "registry/http.h"
#include "registry/manifest.h"
#include "store/reference.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

Test(reference, what_is_left_out)
{
	static const struct {
		const char *text, *whole;
	} rows[] = {
		{"docker://redis", "docker.io/library/redis:latest"},
		{"docker://a/b:1", "docker.io/a/b:1"},
		{"web", "localhost/web:latest"},
		{"web:v2", "localhost/web:v2"},
		{"a/b", "localhost/a/b:latest"},
		{"docker://ghcr.io/a/b__c/d-e.f:V_1.0", "ghcr.io/a/b__c/d-e.f:V_1.0"},
		{"127.0.0.1:5000/a", "127.0.0.1:5000/a:latest"},
		{"[::1]:5000/a:b", "[::1]:5000/a:b"},
		{"localhost:80/a@sha256:" HEX, "localhost:80/a@sha256:" HEX},
		{"h.x/a:t@sha256:" HEX, "h.x/a:t@sha256:" HEX},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[REFERENCE_TEXT];
		struct reference ref;
		struct err err = {0};

		cr_assert(eq(int, reference_parse(&ref, rows[i].text, &err), 0), "%s: %s",
			  rows[i].text, err.text);
		reference_text(&ref, text);
		cr_expect(eq(str, text, (char *)rows[i].whole));
	}
}

Test(reference, what_is_none)
{
	static const char *const rows[] = {
		"",
		"docker://",
		"Upper",
		"a/../b",
		"a//b",
		"/a",
		"a/",
		"a:",
		"a:-x",
		"a:b:c",
		"a@sha256",
		"a@sha256:" HEX "0",
		"a b",
		"h.x:99999999/a",
		"h.x:65536/a",
		"h.x:0/a",
		"h.x:/a",
		"-h.x/a",
		"a\n",
		"a_._b",
		"h.x/a?b",
		"a@sha512:" HEX,
		"docker://h.x/",
		"[::1/a",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct reference ref;
		struct err err = {0};

		cr_expect(lt(int, reference_parse(&ref, rows[i], &err), 0), "%s", rows[i]);
		cr_expect(eq(int, err.kind, ERR_USAGE));
	}
}

Test(reference, hosts_that_are_this_one)
{
	static const char *const here[] = {"localhost",	  "localhost:5000", "127.0.0.1",
					   "127.9.9.9:1", "[::1]",	    "[::1]:5000"};
	static const char *const not_here[] = {
		"localhost.example", "127.0.0.1.example:5000", "128.0.0.1", "[::2]", "[::1]x",
		"10.0.0.1:127"};

	for (size_t i = 0; i < ARRAY_SIZE(here); i++)
		cr_expect(reference_is_loopback(here[i]), "%s", here[i]);
	for (size_t i = 0; i < ARRAY_SIZE(not_here); i++)
		cr_expect(not(reference_is_loopback(not_here[i])), "%s", not_here[i]);
}

Test(registry_auth, challenges)
{
	struct auth_challenge c;

	auth_parse_challenge(&c, "Bearer realm=\"https://a/t\",service=\"s, \\\"x\\\"\", "
				 "scope=\"repository:a:pull,push\",error=invalid");
	cr_expect(eq(int, c.kind, AUTH_BEARER));
	cr_expect(eq(str, c.realm, (char *)"https://a/t"));
	cr_expect(eq(str, c.service, (char *)"s, \"x\""));
	cr_expect(eq(str, c.scope, (char *)"repository:a:pull,push"));
	cr_expect(eq(str, c.error, (char *)"invalid"));
	auth_parse_challenge(&c, "basic realm=x");
	cr_expect(eq(int, c.kind, AUTH_BASIC));
	auth_parse_challenge(&c, "Bearer service=\"s\"");
	cr_expect(eq(int, c.kind, AUTH_NONE));
	auth_parse_challenge(&c, "Bearer realm=\"https://a");
	cr_expect(eq(int, c.kind, AUTH_NONE));
	auth_parse_challenge(&c, "");
	cr_expect(eq(int, c.kind, AUTH_NONE));
}

Test(registry_auth, a_token_is_asked_for_one_purpose)
{
	struct auth_challenge c = {.kind = AUTH_BEARER};
	cleanup_buf struct buf url = {0};
	struct err err = {0};

	strcpy(c.realm, "https://a/t");
	strcpy(c.service, "r&x");
	strcpy(c.scope, "repository:everything:pull");
	cr_assert(
		eq(int, auth_token_url(&url, &c, "repository:a:pull repository:b:pull", &err), 0));
	cr_expect(eq(str, (char *)url.data,
		     (char *)"https://a/"
			     "t?service=r%26x&scope=repository%3Aa%3Apull&scope=repository%3Ab%"
			     "3Apull"));
}

Test(registry_auth, tokens)
{
	static const struct {
		const char *answer, *token;
		uint64_t seconds;
	} rows[] = {
		{"{\"token\":\"abc\"}", "abc", 60},
		{"{\"access_token\":\"a.b-c_d\",\"expires_in\":300}", "a.b-c_d", 300},
		{"{\"token\":\"a\\r\\nX: y\"}", NULL, 0},
		{"{\"token\":\"\"}", NULL, 0},
		{"{}", NULL, 0},
		{"<html>", NULL, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_buf struct buf answer = {0};
		char token[HTTP_SECRET];
		uint64_t seconds;
		struct err err = {0};
		int ret;

		buf_add(&answer, rows[i].answer, strlen(rows[i].answer));
		ret = auth_parse_token(&answer, token, &seconds, &err);
		cr_assert(eq(int, ret == 0, rows[i].token != NULL), "%s", rows[i].answer);
		if (ret < 0)
			continue;
		cr_expect(eq(str, token, (char *)rows[i].token));
		cr_expect(eq(u64, seconds, rows[i].seconds));
	}
}

Test(registry_auth, basic_credentials_there_and_back)
{
	struct credentials c = {.user = "me", .secret = "a:b c"}, back;
	char header[64];

	cr_assert(credentials_basic(&c, header, sizeof(header)));
	cr_expect(eq(str, header, (char *)"Basic bWU6YTpiIGM="));
	cr_assert(credentials_decode(&back, header + 6));
	cr_expect(eq(str, back.user, (char *)"me"));
	cr_expect(eq(str, back.secret, (char *)"a:b c"));
	cr_expect(not(credentials_decode(&back, "bWU=")));
	cr_expect(not(credentials_decode(&back, "bW!=")));
}

/* A home with podman's file and docker's, which is looked at after it; NULL: there is none. */
struct auth_home {
	char folder[64], podman[PATH_MAX], docker[PATH_MAX];
};

static void write_auths(const char *path, const char *auths)
{
	FILE *f = fopen(path, "we");

	cr_assert(ne(ptr, f, NULL));
	fprintf(f, "{\"auths\":{%s},\"other\":1}", auths);
	cr_assert(eq(int, fclose(f), 0));
}

static void make_auth_home(struct auth_home *h, const char *podman, const char *docker)
{
	char path[PATH_MAX];

	strcpy(h->folder, "/tmp/torpor-test.XXXXXX");
	cr_assert(ne(ptr, mkdtemp(h->folder), NULL));
	cr_assert(eq(int, unsetenv("REGISTRY_AUTH_FILE") + unsetenv("DOCKER_CONFIG"), 0));
	cr_assert(
		eq(int, setenv("HOME", h->folder, 1) + setenv("XDG_RUNTIME_DIR", h->folder, 1), 0));
	snprintf(path, sizeof(path), "%s/containers", h->folder);
	cr_assert(eq(int, mkdir(path, 0700), 0));
	snprintf(path, sizeof(path), "%s/.docker", h->folder);
	cr_assert(eq(int, mkdir(path, 0700), 0));
	snprintf(h->podman, sizeof(h->podman), "%s/containers/auth.json", h->folder);
	snprintf(h->docker, sizeof(h->docker), "%s/.docker/config.json", h->folder);
	if (podman != NULL)
		write_auths(h->podman, podman);
	if (docker != NULL)
		write_auths(h->docker, docker);
}

static void remove_auth_home(const struct auth_home *h)
{
	char path[PATH_MAX];

	(void)unlink(h->podman);
	(void)unlink(h->docker);
	snprintf(path, sizeof(path), "%s/containers", h->folder);
	(void)rmdir(path);
	snprintf(path, sizeof(path), "%s/.docker", h->folder);
	(void)rmdir(path);
	cr_expect(eq(int, rmdir(h->folder), 0));
}

#define OLD_AUTH "{\"auth\":\"b2xkOm9sZA==\"}" /* old:old */

Test(credentials, what_is_stored_is_found)
{
	static const struct {
		const char *host, *podman, *docker;
		bool in_podman;
	} rows[] = {
		{"h.x", NULL, NULL, false},
		{"h.x", "", "\"h.x\":" OLD_AUTH, false},
		{"h.x", "\"h.x\":" OLD_AUTH, NULL, true},
		{"h.x", "\"h.x\":" OLD_AUTH, "\"h.x\":" OLD_AUTH, true},
		{"h.x", "\"https://h.x/v1/\":" OLD_AUTH, NULL, true},
		{"h.x", "\"h.x\":{\"auth\":\"!\"}", NULL, true},
		{"h.x", "\"h.x/repo\":" OLD_AUTH ",\"h.xy\":" OLD_AUTH, NULL, false},
		{"h.x", NULL, "\"https://h.x/v1/\":" OLD_AUTH ",\"h.x/\":" OLD_AUTH, false},
		{"docker.io", "\"docker.io\":" OLD_AUTH, NULL, true},
		{"docker.io", "\"https://index.docker.io/v1/\":" OLD_AUTH, NULL, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct credentials new = {.user = "new", .secret = "secret"};
		struct credentials found;
		struct auth_home home;
		struct err err = {0};
		char path[PATH_MAX];

		make_auth_home(&home, rows[i].podman, rows[i].docker);
		cr_assert(eq(int, credentials_store(rows[i].host, &new, path, &err), 0), "%zu: %s",
			  i, err.text);
		cr_expect(eq(str, path, rows[i].in_podman ? home.podman : home.docker), "%zu", i);
		cr_assert(eq(int, credentials_find(&found, rows[i].host, "a/b", &err), 1),
			  "%zu: %s", i, err.text);
		cr_expect(eq(str, found.user, (char *)"new"), "%zu", i);
		remove_auth_home(&home);
	}
}

Test(credentials, none_are_found_once_they_are_erased)
{
	static const struct {
		const char *host, *podman, *docker;
		int erased;
	} rows[] = {
		{"h.x", NULL, NULL, 0},
		{"h.x", "\"h.x\":" OLD_AUTH, "\"h.x\":" OLD_AUTH, 1},
		{"h.x", NULL, "\"https://h.x/v1/\":" OLD_AUTH, 1},
		{"h.x", NULL, "\"h.x/a\":" OLD_AUTH ",\"h.x/\":" OLD_AUTH, 1},
		{"h.x", "\"h.x/a/b\":" OLD_AUTH ",\"http://h.x\":" OLD_AUTH, NULL, 1},
		{"h.x", NULL, "\"h.xy\":" OLD_AUTH ",\"y/h.x\":" OLD_AUTH, 0},
		{"docker.io", "\"docker.io/a\":" OLD_AUTH,
		 "\"https://index.docker.io/v1/\":" OLD_AUTH, 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct credentials found;
		struct auth_home home;
		struct err err = {0};

		make_auth_home(&home, rows[i].podman, rows[i].docker);
		cr_expect(eq(int, credentials_erase(rows[i].host, &err), rows[i].erased), "%zu: %s",
			  i, err.text);
		cr_expect(eq(int, credentials_find(&found, rows[i].host, "a/b", &err), 0),
			  "%zu: %s", i, err.text);
		remove_auth_home(&home);
	}
}

/* Those of another host, and other members, are nobody's business here. */
Test(credentials, others_stay)
{
	const struct credentials new = {.user = "new", .secret = "secret"};
	struct credentials found;
	struct auth_home home;
	struct err err = {0};
	char path[PATH_MAX], text[4096];
	size_t len;
	FILE *f;

	make_auth_home(&home, NULL, "\"h.xy\":" OLD_AUTH ",\"h.x/a\":" OLD_AUTH);
	cr_assert(eq(int, credentials_store("h.x", &new, path, &err), 0), "%s", err.text);
	cr_expect(eq(int, credentials_find(&found, "h.x", "a", &err), 1));
	cr_expect(eq(str, found.user, (char *)"old"));
	cr_assert(eq(int, credentials_erase("h.x", &err), 1), "%s", err.text);
	cr_expect(eq(int, credentials_find(&found, "h.xy", "a", &err), 1));
	f = fopen(home.docker, "re");
	cr_assert(ne(ptr, f, NULL));
	len = fread(text, 1, sizeof(text) - 1, f);
	text[len] = '\0';
	(void)fclose(f);
	cr_expect(ne(ptr, strstr(text, "\"other\": 1"), NULL));
	remove_auth_home(&home);
}

static int look(struct manifest_choice *choice, const char *text, struct err *err)
{
	return manifest_look(choice, (const uint8_t *)text, strlen(text),
			     OCI_MANIFEST_TYPE "; charset=utf-8", err);
}

Test(registry_manifest, an_index_is_chosen_from)
{
	struct manifest_choice choice;
	struct err err = {0};

	cr_assert(eq(int, look(&choice, "{\"schemaVersion\":2,\"layers\":[]}", &err), 0));
	cr_expect(not(choice.index));
	cr_expect(eq(str, choice.media_type, (char *)OCI_MANIFEST_TYPE));
	cr_assert(eq(int,
		     look(&choice,
			  "{\"schemaVersion\":2,\"manifests\":["
			  "{\"mediaType\":\"" OCI_MANIFEST_TYPE "\",\"size\":1,\"digest\":\"x\","
			  "\"platform\":{\"os\":\"linux\",\"architecture\":\"s390x\"}},"
			  "{\"mediaType\":\"" OCI_MANIFEST_TYPE
			  "\",\"size\":7,\"digest\":\"sha256:" HEX "\"}]}",
			  &err),
		     0),
		  "%s", err.text);
	cr_expect(choice.index);
	cr_expect(eq(str, choice.image.digest, (char *)"sha256:" HEX));
	cr_expect(lt(int, look(&choice, "{\"schemaVersion\":2,\"manifests\":[]}", &err), 0));
	cr_expect(eq(int, err.kind, ERR_INCOMPATIBLE));
	cr_expect(lt(int, look(&choice, "{\"schemaVersion\":1}", &err), 0));
	cr_expect(eq(int, err.kind, ERR_INCOMPATIBLE));
	cr_expect(lt(int, look(&choice, "{\"schemaVersion\":2}", &err), 0));
	cr_expect(eq(int, err.kind, ERR_INTEGRITY));
	cr_expect(lt(int, look(&choice, "[]", &err), 0));
}

Test(registry_manifest, what_an_index_has_for_others_is_named)
{
	struct manifest_choice choice;
	struct err err = {0};

	cr_expect(lt(int,
		     look(&choice,
			  "{\"schemaVersion\":2,\"manifests\":["
			  "{\"mediaType\":\"" OCI_MANIFEST_TYPE "\",\"size\":1,\"digest\":\"x\","
			  "\"platform\":{\"os\":\"linux\",\"architecture\":\"s390x\"}},"
			  "{\"mediaType\":\"" DOCKER_MANIFEST_TYPE "\",\"size\":1,\"digest\":\"x\","
			  "\"platform\":{\"os\":\"windows\",\"architecture\":\"amd64\"}}]}",
			  &err),
		     0));
	cr_expect(eq(int, err.kind, ERR_INCOMPATIBLE));
	cr_expect(eq(str, err.text,
		     (char *)"it has no image for linux/" OCI_ARCHITECTURE
			     ", but for linux/s390x, windows/amd64"));
}

Test(registry_manifest, an_index_is_changed_for_one_platform)
{
	static const char old[] =
		"{\"schemaVersion\":2,\"annotations\":{\"a\":\"b\"},\"mediaType\":"
		"\"" DOCKER_INDEX_TYPE "\",\"manifests\":["
		"{\"mediaType\":\"" OCI_MANIFEST_TYPE "\",\"size\":1,\"digest\":\"sha256:" HEX
		"\",\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\"}},"
		"{\"mediaType\":\"" OCI_MANIFEST_TYPE "\",\"size\":2,\"digest\":\"sha256:" HEX
		"\",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}},"
		"{\"mediaType\":\"other\",\"platform\":{\"os\":\"linux\",\"architecture\":"
		"\"arm64\"}}]}";
	struct oci_index_entry entry = {
		.image = {.media_type = OCI_MANIFEST_TYPE, .digest = "sha256:" HEX, .size = 3}};
	cleanup_oci_index struct oci_index index = {0};
	cleanup_buf struct buf text = {0}, first = {0};
	struct err err = {0};

	oci_platform_of(&entry.platform, "aarch64");
	cr_assert(eq(int,
		     oci_index_update(&text, (const uint8_t *)old, strlen(old), &entry, 1, &err),
		     0),
		  "%s", err.text);
	cr_assert(eq(int, oci_index_decode(&index, text.data, text.len, &err), 0));
	cr_assert(eq(sz, index.count, 2));
	cr_expect(eq(u64, index.item[0].image.size, 2));
	cr_expect(eq(u64, index.item[1].image.size, 3));
	cr_expect(eq(str, index.item[1].platform.architecture, (char *)"arm64"));
	buf_add_u8(&text, 0);
	cr_expect_not_null(strstr((char *)text.data, "\"annotations\":{\"a\":\"b\"}"));
	cr_expect_not_null(strstr((char *)text.data, "\"mediaType\":\"other\""));
	cr_expect_null(strstr((char *)text.data, DOCKER_INDEX_TYPE));
	/* The first one of a name; what is no index. */
	cr_expect(eq(int, oci_index_update(&first, NULL, 0, &entry, 1, &err), 0));
	cr_expect(lt(int, oci_index_update(&first, (const uint8_t *)"{}", 2, &entry, 1, &err), 0));
	cr_expect(eq(int, err.kind, ERR_INTEGRITY));
}

Test(registry_http, headers)
{
	static const char *const lines[] = {"WWW-Authenticate: Basic realm=x\r\n",
					    "www-authenticate:Bearer realm=\"y\"\r\n",
					    "LOCATION:  /v2/x  \r\n",
					    "Content-Range: bytes 1-2/3",
					    "no header at all\r\n",
					    "OCI-Chunk-Min-Length: 99999999999999999999\r\n"};
	struct http_response r = {0};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		http_parse_header(&r, lines[i], strlen(lines[i]));
	cr_expect(eq(str, r.challenge, (char *)"Bearer realm=\"y\""));
	cr_expect(eq(str, r.location, (char *)"/v2/x"));
	cr_expect(eq(str, r.content_range, (char *)"bytes 1-2/3"));
	cr_expect(eq(u64, r.chunk_min, GIB(1)));
}

Test(registry_http, addresses)
{
	char url[HTTP_URL];

	cr_assert(http_resolve("https://h:5/v2/a/", "../b?c", url));
	cr_expect(eq(str, url, (char *)"https://h:5/v2/b?c"));
	cr_assert(http_resolve("https://h/", "https://user:secret@other/x", url));
	cr_expect(eq(str, url, (char *)"https://other/x"));
	cr_expect(not(http_resolve("https://h/", "file:///etc/passwd", url)));
	cr_expect(http_same_origin("https://H/a", "https://h:443/b"));
	cr_expect(not(http_same_origin("https://h/", "http://h/")));
	cr_expect(not(http_same_origin("https://h/", "https://h:444/")));
	cr_expect(not(http_same_origin("https://h/", "https://h.evil/")));
	cr_expect(http_is_open("http://h/"));
	cr_expect(not(http_is_open("http://127.0.0.1:80/")));
	cr_expect(not(http_is_open("https://h/")));
}
