/* A switch in this process, and the other ends of its ports. */
#ifndef TORPOR_TESTS_UNIT_FAKE_LAN_H
#define TORPOR_TESTS_UNIT_FAKE_LAN_H

#include <pthread.h>

#include "lan/switch.h"

struct fake_lan {
	pthread_mutex_t lock;
	struct loop loop;
	struct lan_switch *lan;
};

void fake_lan_init(struct fake_lan *f, const char *name, const struct gateway_params *gateway);
void fake_lan_free(struct fake_lan *f);
/* Let it do what there is to do. */
void fake_lan_turn(struct fake_lan *f);
/* The same for so long. */
void fake_lan_turn_for(struct fake_lan *f, unsigned ms);

/* A port; its other end, non-blocking. */
int fake_lan_plug(struct fake_lan *f, enum port_kind kind);
/* A machine 02:00:00:00:00:`id`, greeted; the answer is in `line`. */
int fake_lan_ask(struct fake_lan *f, unsigned id, const char *name, char line[512]);
/* The same, which must be welcome. */
int fake_lan_machine(struct fake_lan *f, unsigned id, const char *name);

#define BROADCAST_ID 255u

/* A frame from station `from` to station `to`, `len` bytes in all. False: there is no room. */
bool fake_lan_send(int fd, enum framing framing, unsigned to, unsigned from, size_t len);
/* The next message that has come: its frame's length, 0 when there is none. `data` takes
 * LAN_WIRE_MAX. */
size_t fake_lan_receive(int fd, enum framing framing, uint8_t *data, struct message *message);
/* How many frames have come. */
unsigned fake_lan_drain(int fd, enum framing framing);
/* What the switch says of the port called so; NULL: there is none. */
const struct port *fake_lan_port(struct fake_lan *f, const char *name);

#endif
