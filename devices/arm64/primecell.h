/*
 * What ARM's PrimeCell peripherals have in common: registers of 32 bits in a page, and at its end the
 * bytes by which a driver knows which one it is (ARM DDI 0190, 0224: "Peripheral identification").
 */
#ifndef TORPOR_DEVICES_ARM64_PRIMECELL_H
#define TORPOR_DEVICES_ARM64_PRIMECELL_H

#include <stdint.h>

#define PRIMECELL_ID_AT 0xfe0u

/* The register at `off`, PRIMECELL_ID_AT or more, of the peripheral with this part number. */
static inline uint32_t primecell_id(uint32_t part, uint64_t off)
{
	const uint8_t id[] = {
		(uint8_t)part, (uint8_t)(0x10 | part >> 8), 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1};

	return id[(off - PRIMECELL_ID_AT) / 4 & 7];
}

#endif
