/* What a saved machine asks of a host besides its CPU's features: part of the config blob. */
#ifndef TORPOR_STATE_HOSTNEEDS_H
#define TORPOR_STATE_HOSTNEEDS_H

#include <stdint.h>

#define HOST_NEEDS_MAX_MSRS 256u
#define HOST_NEEDS_MAX_CAPS 32u
#define HOST_NEEDS_CAP_SIZE 48u

struct host_needs {
	uint32_t page_size; /* bytes */
	/* x86_64 */
	uint32_t tsc_khz; /* the guest trusts this rate; 0: any will do */
	uint32_t nmsrs;
	uint32_t msr[HOST_NEEDS_MAX_MSRS]; /* ascending: registers that are not zero */
	/* aarch64 */
	uint32_t counter_hz; /* the rate of the counter, which the guest reads from CNTFRQ_EL0 */
	uint32_t gic;	     /* the version of the interrupt controller: 2 or 3 */
	/* All. */
	uint32_t ncaps;
	/* As <linux/kvm.h> names them, "KVM_CAP_XCRS"; ascending. A capability that this build does
	 * not know is one that the host lacks. */
	char cap[HOST_NEEDS_MAX_CAPS][HOST_NEEDS_CAP_SIZE];
};

#endif
