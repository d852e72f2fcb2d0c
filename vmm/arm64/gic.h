/* What devices ask of the interrupt controller of arm64. */
#ifndef TORPOR_VMM_ARM64_GIC_H
#define TORPOR_VMM_ARM64_GIC_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/kvm.h"

/* Whether the guest has enabled a shared interrupt. False, too, when KVM does not say. Machine lock held. */
bool arm64_spi_is_enabled(const struct kvm *kvm, uint32_t spi);

#endif
