/* Shared folders, as the instance sees them; see instance.h. */
#include "instance/instance.h"

int instance_refuse_shared(const struct instance *in, const char *what, struct err *err)
{
	const struct source *s = in->source;

	for (uint32_t i = 0; i < s->appliance.nshares; i++) {
		if (s->share[i].path != NULL)
			return err_set(err, ERR_USAGE,
				       "machine %s cannot %s: it shares %s, which no reset takes "
				       "back; -v none drops it",
				       in->claim.name, what, s->share[i].path);
	}
	return 0;
}

json_t *instance_shares_json(const struct instance *in)
{
	const struct source *s = in->source;
	json_t *shares = json_array();

	for (uint32_t i = 0; i < s->appliance.nshares; i++) {
		json_t *json = json_pack("{s:s,s:s}", "tag", s->appliance.share[i].tag, "guest",
					 s->appliance.share[i].guest);

		if (s->share[i].path != NULL) {
			json_object_set_new(json, "folder", json_string(s->share[i].path));
			json_object_set_new(json, "readonly", json_boolean(s->share[i].readonly));
		}
		json_array_append_new(shares, json);
	}
	return shares;
}
