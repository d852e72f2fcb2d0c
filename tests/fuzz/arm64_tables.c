/* vmm/arm64/state_tables.c, beside the tables that this build's own architecture has under these names. */
#define arch_vcpu_table arm64_vcpu_table
#define arch_vm_table	arm64_vm_table
#include "vmm/arm64/state_tables.c"
