/* See remove_machine.h. */
#include "cli/remove_machine.h"

#include "host/claim.h"
#include "host/client.h"
#include "host/parse.h"
#include "instance/record.h"

/* Holding the name keeps a new machine from taking it while its folder goes. */
int remove_machine(const char *name, bool force, struct err *err)
{
	struct claim claim;
	int ret = parse_name(name, err);

	if (ret < 0)
		return ret;
	if (claim_is_held(name)) {
		if (!force)
			return err_set(err, ERR_FAILED, "machine %s is running: stop it, or rm -f",
				       name);
		ret = client_kill_once(name, err);
		if (ret < 0)
			return ret;
	} else if (!machine_is_known(name)) {
		return err_set(err, ERR_NOT_FOUND, "no machine is named %s", name);
	}
	ret = claim_name(&claim, name, err);
	if (ret < 0)
		return ret;
	record_remove_all(name);
	claim_release(&claim);
	return 0;
}
