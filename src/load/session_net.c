/* A network card made ready to run: see load_session_internal.h. */
#include "load/session_internal.h"

#include <errno.h>
#include <string.h>

#include "util/bytes.h"
#include "wire/net.h"
#include "wire/vhost.h"

#define BIT(n)	     (UINT64_C(1) << (n))
#define CONTROL_SIZE 4
#define ANSWER_MS    15000
/* virtio 5.1.4: behind mac[6] and status[2]. */
#define MAX_PAIRS_AT 8

/* A command in the arena (virtio 5.1.6.5). */
struct command {
	unsigned char head[2]; /* class, command */
	unsigned char pairs[2];
	unsigned char ack;
};

uint64_t load_session_net_wanted(const struct load_session *session, unsigned pairs)
{
	uint64_t wanted = BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_MAC);
	uint32_t count = 0;

	if (pairs < 2)
		return wanted;
	wanted |= BIT(VIRTIO_NET_F_MQ);
	if (uvdpa_get_vqs_count(session->devices[0], &count) == 0 && count % 2)
		wanted |= BIT(VIRTIO_NET_F_CTRL_VQ);
	return wanted;
}

static unsigned max_pairs(const struct load_session *session)
{
	unsigned char bytes[2];

	if (!(session->features & BIT(VIRTIO_NET_F_MQ)) ||
	    uvdpa_get_config(session->devices[0], MAX_PAIRS_AT, bytes, sizeof(bytes)) < 0)
		return 1;
	return load_le16(bytes);
}

int load_session_net_check(const struct load_session *session, unsigned pairs, struct error *f)
{
	struct uvdpa_driver *drv = session->devices[0];
	uint32_t count = 0;
	unsigned have;

	if (pairs > SESSION_QUEUES / 2)
		return error_set(f, -EINVAL, "%u queue pairs: at most %d can be had", pairs,
				 SESSION_QUEUES / 2);
	/* some back ends keep no config space, and know only how many queues they have */
	if (uvdpa_get_vqs_count(drv, &count) < 0 || count % 2)
		have = max_pairs(session);
	else
		have = session->features & BIT(VIRTIO_NET_F_MQ) ? count / 2 : 1;
	if (pairs > have)
		return error_set(f, -EINVAL, "%s: it has %u queue pair%s, not %u",
				 uvdpa_driver_name(drv), have, have == 1 ? "" : "s", pairs);
	return 0;
}

int load_session_net_add_control(struct load_session *session, struct error *f)
{
	const struct uvdpa_queue_options ring = {.size = CONTROL_SIZE,
						 .features = session->features};
	struct uvdpa_error error;
	int r;

	if (!(session->features & BIT(VIRTIO_NET_F_CTRL_VQ)))
		return 0;
	session->command = uvdpa_memory_alloc(session->memory, sizeof(struct command), 64);
	if (!session->command)
		return error_set(f, -ENOSPC, "no room for a command");
	r = uvdpa_queue_new(session->memory, &ring, &session->control, &error);
	if (r == 0)
		r = uvdpa_driver_attach(session->devices[0], 2 * max_pairs(session),
					session->control, uvdpa_queue_base(session->control),
					&error);
	return r < 0 ? error_set(f, r, "%s", error.text) : 0;
}

static int send_command(struct load_session *session)
{
	struct command *c = session->command;
	const struct uvdpa_segment chain[] = {
		{uvdpa_memory_iova(session->memory, c->head), 2, 0},
		{uvdpa_memory_iova(session->memory, c->pairs), 2, 0},
		{uvdpa_memory_iova(session->memory, &c->ack), 1, 1},
	};
	struct uvdpa_completion done;
	int r;

	c->head[0] = VIRTIO_NET_CTRL_MQ;
	c->head[1] = VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET;
	store_le16(c->pairs, (uint16_t)(session->queue_count / 2));
	c->ack = 0xff;
	r = uvdpa_queue_add(session->control, chain, 3, 0, 0);
	if (r >= 0)
		r = uvdpa_queue_submit(session->control);
	if (r >= 0)
		r = uvdpa_queue_wait(session->control, ANSWER_MS);
	if (r == 0)
		return -ETIMEDOUT;
	if (r > 0)
		r = uvdpa_queue_poll(session->control, &done, 1);
	if (r < 0)
		return r;
	return __atomic_load_n(&c->ack, __ATOMIC_RELAXED) == VIRTIO_NET_OK ? 0 : -EREMOTEIO;
}

int load_session_net_set_pairs(struct load_session *session, struct error *f)
{
	int r = session->control ? send_command(session) : 0;

	if (r < 0)
		return error_set(f, r, "%s: switching on %u queue pairs: %s",
				 uvdpa_driver_name(session->devices[session->current]),
				 session->queue_count / 2, strerror(-r));
	return 0;
}
