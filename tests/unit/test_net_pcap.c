/* --pcap: what stands between card and back end. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "devices/net/net_pcap.h"
#include "tests/unit/user_guest.h"

static bool inner_closed;

static void inner_close(struct net_backend *b)
{
	(void)b;
	inner_closed = true;
}

Test(net_pcap, a_header_that_is_cut_short_is_an_error)
{
	static const struct net_backend_ops ops = {.name = "none", .close = inner_close};
	const struct rlimit limit = {10, 10};
	const struct log log = {.fd = -1};
	struct net_backend inner = {.ops = &ops}, *b = NULL;
	struct err err = {0};
	int fd = memfd_create("pcap", MFD_CLOEXEC);

	signal(SIGXFSZ, SIG_IGN);
	cr_assert(eq(int, setrlimit(RLIMIT_FSIZE, &limit), 0));
	errno = 0;
	cr_assert(eq(int, net_pcap_open(&b, &log, &inner, fd, &err), -EFBIG));
	cr_assert_str_eq(err.text, "--pcap: write the header: File too large");
	cr_assert(inner_closed);
}

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
