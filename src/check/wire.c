/* What goes over a vhost-user socket while a case runs: see wire.h. */
#include "check/wire.h"

#include <stdio.h>
#include <string.h>

#include "wire/vhost_user.h"

/* What the payload says, as far as one line holds it. */
static void decode(const struct uvdpa_message *m, char *text, size_t size)
{
	const union vhost_user_payload *p = m->payload;

	text[0] = 0;
	if (m->size == 0)
		return;
	switch (m->request) {
	case VHOST_USER_SET_VRING_NUM:
	case VHOST_USER_SET_VRING_BASE:
	case VHOST_USER_GET_VRING_BASE:
	case VHOST_USER_SET_VRING_ENABLE:
		if (m->size == sizeof(p->state))
			snprintf(text, size, "ring %u: 0x%x", p->state.index, p->state.num);
		if (m->size == sizeof(p->state))
			return;
		break;
	case VHOST_USER_SET_VRING_ADDR:
		if (m->is_answer)
			break;
		snprintf(text, size, "ring %u: descriptors 0x%llx, available 0x%llx, used 0x%llx",
			 p->addr.index, (unsigned long long)p->addr.desc_user_addr,
			 (unsigned long long)p->addr.avail_user_addr,
			 (unsigned long long)p->addr.used_user_addr);
		return;
	case VHOST_USER_ADD_MEM_REG:
	case VHOST_USER_REM_MEM_REG:
		if (m->is_answer)
			break;
		snprintf(text, size, "guest 0x%llx, %llu bytes, user 0x%llx, offset 0x%llx",
			 (unsigned long long)p->region.region.guest_address,
			 (unsigned long long)p->region.region.size,
			 (unsigned long long)p->region.region.user_address,
			 (unsigned long long)p->region.region.mmap_offset);
		return;
	case VHOST_USER_SET_MEM_TABLE:
		if (m->is_answer)
			break;
		snprintf(text, size, "%u regions", p->memory.count);
		return;
	case VHOST_USER_GET_CONFIG:
	case VHOST_USER_SET_CONFIG:
		if (m->size < VHOST_USER_CONFIG_HEADER)
			break;
		snprintf(text, size, "offset %u, %u bytes", p->config.offset, p->config.size);
		return;
	default:
		break;
	}
	if (m->size == sizeof(p->u64))
		snprintf(text, size, "0x%llx", (unsigned long long)p->u64);
}

void wire_note(void *arg, const struct uvdpa_message *m)
{
	struct wire *wire = arg;
	char payload[110];
	const char *fds = m->fds ? ", with descriptors" : "";

	if (!m->is_answer) {
		unsigned kind = m->request < WIRE_REQUESTS ? m->request : 0;

		wire->sent[kind]++;
		wire->names[kind] = m->name; /* a constant: processes of one program share it */
	}
	if (!m->is_answer && !m->is_opening && m->request != VHOST_USER_SET_OWNER)
		wire->own++;
	if (m->is_answer && m->request == VHOST_USER_GET_FEATURES && m->size == 8)
		memcpy(&wire->features, m->payload, 8);
	if (m->is_answer && m->request == VHOST_USER_GET_PROTOCOL_FEATURES && m->size == 8)
		memcpy(&wire->protocol, m->payload, 8);
	decode(m, payload, sizeof(payload));
	snprintf(wire->lines[wire->count++ % WIRE_LINES], WIRE_LINE, "%s %s%s%s%s%s",
		 m->is_answer ? "<-" : "->", m->name,
		 m->flags & VHOST_USER_NEED_REPLY && !m->is_answer ? ", need reply" : "",
		 payload[0] ? ": " : "", payload, fds);
}

void wire_lost(void *arg, const char *why)
{
	struct wire *wire = arg;

	if (!wire->lost[0])
		snprintf(wire->lost, sizeof(wire->lost), "%s", why);
}

void wire_begin(struct wire *wire)
{
	wire->own = wire->count = 0;
	wire->lost[0] = 0;
}

void wire_restore(struct wire *wire, const struct wire *before)
{
	unsigned long sent[WIRE_REQUESTS];

	memcpy(sent, wire->sent, sizeof(sent));
	*wire = *before;
	memcpy(wire->sent, sent, sizeof(sent));
}

const char *wire_line(const struct wire *wire, unsigned i)
{
	unsigned kept = wire->count < WIRE_LINES ? wire->count : WIRE_LINES;

	return i < kept ? wire->lines[(wire->count - kept + i) % WIRE_LINES] : NULL;
}
