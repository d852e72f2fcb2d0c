/* See trust.h. */
#include "cli/trust.h"

#include <string.h>

#include "host/paths.h"
#include "store/cas.h"

static const char word[] = "trust";

int trust_load(struct trust *trust, const char *key, struct err *err)
{
	struct path folder;
	int ret;

	if (strcmp(key, word) != 0)
		return signers_add_key(&trust->signers, key, err);
	ret = path_trust(&folder, err);
	return ret < 0 ? ret : signers_add_folder(&trust->signers, folder.text, err);
}

struct check {
	struct trust *trust;
	const uint8_t *config;
	size_t len;
	struct err *why;  /* what is wrong with the file's own, or with the first one beside it */
	bool is_unsigned; /* so far */
};

/* Returns 1 for a good one, to end the search. What is no signature at all does not make it signed. */
static int check_beside(void *opaque, const char *text, struct err *err)
{
	struct check *c = opaque;
	struct err why = {0};
	int ret = signers_check(&c->trust->signers, c->config, c->len, text, strlen(text),
				&c->trust->by, &why);

	(void)err;
	if (ret < 0 && c->is_unsigned && c->trust->by.id[0] != '\0') {
		err_copy(c->why, ret, &why);
		c->is_unsigned = false;
	}
	return ret == 0;
}

int trust_verify_signature(void *opaque, const uint8_t *config, size_t len, const char *signature,
			   struct err *err)
{
	struct trust *trust = opaque;
	struct check check = {trust, config, len, err, signature == NULL};
	int ret = signers_check(&trust->signers, config, len, signature,
				signature != NULL ? strlen(signature) : 0, &trust->by, err);

	for (unsigned i = 0; ret < 0 && i < trust->nbeside; i++) {
		if (check_beside(&check, trust->beside[i], NULL) == 1) {
			err_clear(err);
			return 0;
		}
	}
	if (ret == 0 || trust->image == NULL ||
	    cas_each_signature(trust->image, check_beside, &check, NULL) != 1)
		return ret;
	err_clear(err);
	return 0;
}

static int accept_signed(void *opaque, const struct registry_signed *is, struct err *err)
{
	struct trust *trust = opaque;

	trust->beside = is->beside;
	trust->nbeside = is->nbeside;
	return trust_verify_signature(trust, is->config, is->config_len, is->own, err);
}

int trust_pull(struct trust *trust, const char *key, struct registry_pull *what, struct err *err)
{
	if (key == NULL)
		return 0;
	what->accept = accept_signed;
	what->opaque = trust;
	return trust_load(trust, key, err);
}

void trust_free(struct trust *trust)
{
	signers_free(&trust->signers);
}
