/* See guest_port.h. */
#include "golden/guest_port.h"

#include <stdlib.h>
#include <string.h>

int guest_port_check(const char *what, const char *text, struct err *err)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long port = strtoul(text, NULL, 10);
	const char *protocol = text + digits;

	if (digits > 0 && digits <= 5 && port >= 1 && port <= 65535 &&
	    (*protocol == '\0' || strcmp(protocol, "/udp") == 0 || strcmp(protocol, "/tcp") == 0))
		return 0;
	return err_set(err, ERR_USAGE,
		       "%s: '%s' is not a port of the guest, as 80 or 53/udp; the host's is any "
		       "free one",
		       what, text);
}
