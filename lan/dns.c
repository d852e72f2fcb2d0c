/* See dns.h. */
#include "lan/dns.h"

#include <string.h>
#include <strings.h>

#include "base/num.h"

#define HEADER	     12u
#define DNS_NAME_MAX 255u
#define LABEL	     63u
#define TTL	     5u /* machines come and go */

#define FLAG_REPLY	0x8000u
#define FLAG_OPCODE	0x7800u
#define FLAG_AUTHORITY	0x0400u
#define FLAG_RECURSE	0x0100u
#define RCODE_NO_SUCH	3u
#define RCODE_NOT_DONE	4u
#define TYPE_A		1u
#define TYPE_ANY	255u
#define CLASS_IN	1u
#define POINTER_TO_NAME 0xc00cu

struct question {
	size_t end; /* in the query, behind it */
	uint16_t type;
	uint16_t class;
	char name[DNS_NAME_MAX + 1]; /* with dots; "" when it is none of ours */
};

/* One label behind the others; false when a name of ours cannot have it. */
static bool dns_add_label(char *name, size_t *at, const uint8_t *label, size_t len)
{
	if (*at + len + 1 >= DNS_NAME_MAX || memchr(label, '\0', len) != NULL)
		return false;
	if (*at > 0)
		name[(*at)++] = '.';
	memcpy(name + *at, label, len);
	*at += len;
	name[*at] = '\0';
	return true;
}

/* Names in questions are not compressed (there is nothing before them to point to). */
static bool dns_parse(struct question *q, const uint8_t *query, size_t len)
{
	size_t at = HEADER, out = 0;

	*q = (struct question){0};
	while (at < len && query[at] != 0) {
		size_t label = query[at];

		if (label > LABEL || at + 1 + label > len ||
		    !dns_add_label(q->name, &out, query + at + 1, label))
			return false;
		at += 1 + label;
	}
	if (at + 5 > len)
		return false;
	q->type = be_get16(query + at + 1);
	q->class = be_get16(query + at + 3);
	q->end = at + 5;
	return true;
}

static size_t dns_add_address(uint8_t *at, uint32_t address)
{
	be_put16(at, POINTER_TO_NAME);
	be_put16(at + 2, TYPE_A);
	be_put16(at + 4, CLASS_IN);
	be_put32(at + 6, TTL);
	be_put16(at + 10, sizeof(address));
	be_put32(at + 12, address);
	return 16;
}

size_t dns_answer(const struct leases *leases, const uint8_t *query, size_t len, uint32_t now,
		  uint8_t reply[DNS_REPLY_MAX])
{
	uint16_t flags, rcode = 0, answers = 0;
	const struct lease *lease;
	struct question q;
	size_t end, name_len;

	if (len < HEADER || (be_get16(query + 2) & FLAG_REPLY) != 0 || be_get16(query + 4) != 1 ||
	    !dns_parse(&q, query, len) || q.end + 16 > DNS_REPLY_MAX)
		return 0;
	flags = be_get16(query + 2);
	end = q.end;
	memcpy(reply, query, end);
	name_len = strlen(q.name);
	if (name_len > 4 && strcasecmp(q.name + name_len - 4, ".lan") == 0)
		q.name[name_len - 4] = '\0';
	lease = q.class == CLASS_IN ? lease_named(leases, q.name, now) : NULL;
	if ((flags & FLAG_OPCODE) != 0) {
		rcode = RCODE_NOT_DONE;
	} else if (lease == NULL) {
		rcode = RCODE_NO_SUCH;
	} else if (q.type == TYPE_A || q.type == TYPE_ANY) {
		end += dns_add_address(reply + end, lease->address);
		answers = 1;
	}
	flags &= FLAG_OPCODE | FLAG_RECURSE;
	be_put16(reply + 2, (uint16_t)(flags | FLAG_REPLY | FLAG_AUTHORITY | rcode));
	be_put16(reply + 6, answers);
	be_put32(reply + 8, 0); /* neither authorities nor others */
	return end;
}
