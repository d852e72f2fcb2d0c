/* --pcap: what stands between card and back end. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <sys/mman.h>

#include "devices/net/net_pcap.h"
#include "tests/unit/user_guest.h"

/* Answers that neither the card nor the queue has room for. */
Test(net_pcap, what_the_back_end_drops_is_counted)
{
	const struct net_user_params params = {.hostname = "web"};
	uint8_t frame[1500], body[1400] = {8, 0, 0xf7, 0xff};
	struct guest guest;
	struct err err = {0};
	struct frame f;

	guest_open(&guest, &params, NULL);
	guest_greet(&guest);
	cr_assert(eq(int,
		     net_pcap_open(&guest.b, &guest.log, guest.b, memfd_create("pcap", MFD_CLOEXEC),
				   &err),
		     0),
		  "%s", err.text);
	guest.b->card = &guest.card;
	guest.room = 0;
	f = guest_frame(&guest, 1, 0, 0);
	f.data = body;
	f.len = sizeof(body);
	for (unsigned i = 0; i < 1000; i++)
		guest_send(&guest, frame, frame_make(&f, frame));
	cr_assert(ge(u64, guest.card.received.dropped, 1));
	guest_close(&guest);
}
