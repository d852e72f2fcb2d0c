/*
 * The firmware tables of torpor-1: RSDP, XSDT, FADT, FACS, MADT and DSDT (ACPI 6.5 §5.2).
 *
 * acpi_build() makes the block that lies at X86_ACPI_START, RSDP first; acpi_install() (boot.h)
 * writes it into guest memory at every cold start and reset. Tests give the block to iasl.
 *
 * Without memory the buffer says so: buf_failed(). There is no other error.
 */
#ifndef TORPOR_VMM_X86_64_ACPI_H
#define TORPOR_VMM_X86_64_ACPI_H

#include "base/buf.h"
#include "vmm/arch.h"

void acpi_build(const struct board_info *board, struct buf *out);

#endif
