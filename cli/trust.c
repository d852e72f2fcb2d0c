/* See trust.h. */
#include "cli/trust.h"

#include <string.h>

#include "host/paths.h"

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

int trust_verify_signature(void *opaque, const uint8_t *config, size_t len, const char *signature,
			   struct err *err)
{
	struct trust *trust = opaque;

	return signers_check(&trust->signers, config, len, signature,
			     signature != NULL ? strlen(signature) : 0, &trust->by, err);
}

void trust_free(struct trust *trust)
{
	signers_free(&trust->signers);
}
