/*
 * From request number to verb: one table, one place that checks form (size, descriptors, what was
 * negotiated), and one that answers. Whether a request is allowed now is for the device to say.
 */
#include "export/vhost_user/vhost_user_internal.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "model/models.h"
#include "util/bytes.h"
#include "util/log.h"
#include "wire/net.h"

#define NEEDS(f) BIT(VHOST_USER_PROTOCOL_F_##f)

struct verb {
	const char *name;
	uint16_t size_min, size_max;
	uint8_t fds_min, fds_max;
	bool replies;	/* has an answer of its own */
	uint64_t needs; /* protocol features, all negotiated */
	/* Fills message->payload, head.size and fds for the answer. 0, VU_LATER, negative errno. */
	int (*run)(struct vu_client *client, struct vu_message *message);
};

static void answer_u64(struct vu_message *message, uint64_t value)
{
	message->payload.u64 = value;
	message->head.size = sizeof(uint64_t);
}

/* --- Verbs that need no file of their own --------------------------------------------------- */

static bool is_net(const struct vu_client *client)
{
	return device_get_device_id(client->export->device) == VIRTIO_ID_NET;
}

uint64_t vu_protocol_features(const struct vu_client *client)
{
	uint64_t some = NEEDS(INFLIGHT_SHMFD) | NEEDS(GET_VRING_BASE_INFLIGHT);

	if (device_can_resume(client->export->device))
		some |= NEEDS(DEVICE_STATE);
	/* QEMU keeps the config space of cards itself, and warns of a back end that would, too. */
	some |= is_net(client) ? NEEDS(NET_MTU) | NEEDS(RARP) : NEEDS(CONFIG);
	return some | NEEDS(MQ) | NEEDS(LOG_SHMFD) | NEEDS(REPLY_ACK) | NEEDS(BACKEND_REQ) |
	       NEEDS(BACKEND_SEND_FD) | NEEDS(RESET_DEVICE) | NEEDS(INBAND_NOTIFICATIONS) |
	       NEEDS(CONFIGURE_MEM_SLOTS) | NEEDS(STATUS);
}

static int get_protocol_features(struct vu_client *client, struct vu_message *message)
{
	answer_u64(message, vu_protocol_features(client));
	return 0;
}

void vu_set_export_rules(struct vu_client *client)
{
	unsigned rules =
		EXPORT_IMPLIES_PLATFORM | EXPORT_SETS_QUEUES_ANY_TIME | EXPORT_RESETS_QUEUES;

	if (vu_has(client, VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT))
		rules |= EXPORT_MOVES_RECORDS;
	device_set_export_rules(client->export->device, rules);
}

static int set_protocol_features(struct vu_client *client, struct vu_message *message)
{
	uint64_t unknown = message->payload.u64 & ~vu_protocol_features(client);

	if (unknown)
		return error_set(&client->err, -EINVAL, "protocol features 0x%llx were not offered",
				 (unsigned long long)unknown);
	if (message->payload.u64 & NEEDS(GET_VRING_BASE_INFLIGHT) &&
	    !(message->payload.u64 & NEEDS(INFLIGHT_SHMFD)))
		return error_set(&client->err, -EINVAL,
				 "GET_VRING_BASE_INFLIGHT needs INFLIGHT_SHMFD as well");
	client->protocol = message->payload.u64;
	vu_set_export_rules(client);
	return 0;
}

static int set_owner(struct vu_client *client, struct vu_message *message)
{
	return 0;
}

/* Deprecated; the specification recommends to ignore it. */
static int reset_owner(struct vu_client *client, struct vu_message *message)
{
	return 0;
}

static int get_queue_num(struct vu_client *client, struct vu_message *message)
{
	answer_u64(message, client->ring_count);
	return 0;
}

static int get_max_mem_slots(struct vu_client *client, struct vu_message *message)
{
	answer_u64(message, VU_MAX_REGIONS);
	return 0;
}

static int set_mem_table(struct vu_client *client, struct vu_message *message)
{
	const struct vhost_user_memory *table = &message->payload.memory;

	if (table->count > VHOST_USER_TABLE_REGIONS || table->count != message->fd_count ||
	    message->head.size < offsetof(struct vhost_user_memory, regions[table->count]))
		return error_set(&client->err, -EPROTO,
				 "SET_MEM_TABLE of %u regions with %u descriptors in %u bytes",
				 table->count, message->fd_count, message->head.size);
	return vu_memory_set(client->memory, table->regions, message->fds, table->count,
			     client->export->device, &client->err);
}

static int add_mem_reg(struct vu_client *client, struct vu_message *message)
{
	return vu_memory_add(client->memory, &message->payload.region.region, message->fds[0],
			     client->export->device, &client->err);
}

static int rem_mem_reg(struct vu_client *client, struct vu_message *message)
{
	return vu_memory_remove(client->memory, &message->payload.region.region,
				client->export->device, &client->err);
}

/* Linux's vhost signals it for every mark; QEMU has no use for that, and nor have we. */
static int set_log_fd(struct vu_client *client, struct vu_message *message)
{
	return 0;
}

/* The bytes that are within the device's config space; what a front end asks for beyond reads 0. */
static uint32_t config_bytes(const struct vu_client *client, const struct vhost_user_config *config)
{
	size_t have = device_get_config_size(client->export->device);

	if (config->offset >= have)
		return 0;
	return config->size < have - config->offset ? config->size
						    : (uint32_t)(have - config->offset);
}

static bool config_is_sound(const struct vu_message *message)
{
	const struct vhost_user_config *config = &message->payload.config;

	return config->size && config->size <= VHOST_USER_CONFIG_MAX &&
	       config->flags <= VHOST_USER_CONFIG_MIGRATION &&
	       message->head.size == VHOST_USER_CONFIG_HEADER + config->size;
}

static int get_config(struct vu_client *client, struct vu_message *message)
{
	struct vhost_user_config *config = &message->payload.config;
	uint32_t size;

	if (!config_is_sound(message))
		return error_set(&client->err, -EPROTO, "GET_CONFIG of %u bytes in a message of %u",
				 config->size, message->head.size);
	size = config_bytes(client, config);
	memset(config->bytes, 0, sizeof(config->bytes));
	if (!size ||
	    device_get_config(client->export->device, config->offset, config->bytes, size) < 0)
		message->head.size = 0; /* the protocol's way to say no */
	return 0;
}

static int set_config(struct vu_client *client, struct vu_message *message)
{
	struct vhost_user_config *config = &message->payload.config;
	uint32_t size;

	if (!config_is_sound(message))
		return error_set(&client->err, -EPROTO, "SET_CONFIG of %u bytes in a message of %u",
				 config->size, message->head.size);
	size = config_bytes(client, config);
	if (!size)
		return error_set(&client->err, -EINVAL, "SET_CONFIG at %u: beyond the config space",
				 config->offset);
	/* The document: not for read-only fields, be it what is there, but in a migration. */
	if ((config->flags == VHOST_USER_CONFIG_FRONTEND &&
	     !device_config_is_writable(client->export->device, config->offset, config->size)) ||
	    device_set_config(client->export->device, config->offset, config->bytes, size) < 0)
		return error_set(
			&client->err, -EINVAL,
			"SET_CONFIG of %u bytes at %u: there is what its driver may not write",
			config->size, config->offset);
	return 0;
}

/* QEMU's announce_self, for guests that do not announce themselves. */
static int send_rarp(struct vu_client *client, struct vu_message *message)
{
	const uint8_t *bytes = (const uint8_t *)&message->payload.u64;
	uint64_t mac = 0;

	for (unsigned i = 0; i < ETH_ALEN; i++)
		mac = mac << 8 | bytes[i];
	if (!mac || bytes[0] & 1)
		return error_set(&client->err, -EINVAL, "SEND_RARP for no address of a card");
	return device_send_rarp(client->export->device, mac);
}

/* What the front end shows its guest: not more than the cable takes, as our own config space says.
 */
static int net_set_mtu(struct vu_client *client, struct vu_message *message)
{
	struct device *device = client->export->device;
	uint64_t most = UINT16_MAX, mtu = message->payload.u64;
	uint8_t own[2];

	if (device_get_device_features(device) & BIT(VIRTIO_NET_F_MTU) &&
	    device_get_config(device, offsetof(struct virtio_net_config, mtu), own, 2) == 0)
		most = load_le16(own);
	if (mtu < NET_MIN_MTU || mtu > most)
		return error_set(&client->err, -EINVAL, "an MTU of %llu; the card takes %u to %u",
				 (unsigned long long)mtu, NET_MIN_MTU, (unsigned)most);
	return 0;
}

/* --- The table ------------------------------------------------------------------------------- */

#define NOTHING	 0, 0, 0, 0
#define A_U64	 8, 8, 0, 0
#define A_STATE	 8, 8, 0, 0
#define A_FD_U64 8, 8, 0, 1

static const struct verb verbs[VHOST_USER_REQUEST_COUNT] = {
	[VHOST_USER_GET_FEATURES] = {"GET_FEATURES", NOTHING, true, 0, vu_get_features},
	[VHOST_USER_SET_FEATURES] = {"SET_FEATURES", A_U64, false, 0, vu_set_features},
	[VHOST_USER_SET_OWNER] = {"SET_OWNER", NOTHING, false, 0, set_owner},
	[VHOST_USER_RESET_OWNER] = {"RESET_OWNER", NOTHING, false, 0, reset_owner},
	[VHOST_USER_SET_MEM_TABLE] = {"SET_MEM_TABLE", 8, sizeof(struct vhost_user_memory), 0,
				      VHOST_USER_MAX_FDS, false, 0, set_mem_table},
	[VHOST_USER_SET_LOG_BASE] = {"SET_LOG_BASE", 16, 16, 1, 1, true, NEEDS(LOG_SHMFD),
				     vu_set_log_base},
	[VHOST_USER_SET_LOG_FD] = {"SET_LOG_FD", 0, 8, 1, 1, false, 0, set_log_fd},
	[VHOST_USER_SET_VRING_NUM] = {"SET_VRING_NUM", A_STATE, false, 0, vu_set_vring_num},
	[VHOST_USER_SET_VRING_ADDR] = {"SET_VRING_ADDR", 40, 40, 0, 0, false, 0, vu_set_vring_addr},
	[VHOST_USER_SET_VRING_BASE] = {"SET_VRING_BASE", A_STATE, false, 0, vu_set_vring_base},
	[VHOST_USER_GET_VRING_BASE] = {"GET_VRING_BASE", A_STATE, true, 0, vu_get_vring_base},
	[VHOST_USER_SET_VRING_KICK] = {"SET_VRING_KICK", A_FD_U64, false, 0, vu_set_vring_kick},
	[VHOST_USER_SET_VRING_CALL] = {"SET_VRING_CALL", A_FD_U64, false, 0, vu_set_vring_call},
	[VHOST_USER_SET_VRING_ERR] = {"SET_VRING_ERR", A_FD_U64, false, 0, vu_set_vring_err},
	[VHOST_USER_GET_PROTOCOL_FEATURES] = {"GET_PROTOCOL_FEATURES", NOTHING, true, 0,
					      get_protocol_features},
	[VHOST_USER_SET_PROTOCOL_FEATURES] = {"SET_PROTOCOL_FEATURES", A_U64, false, 0,
					      set_protocol_features},
	[VHOST_USER_GET_QUEUE_NUM] = {"GET_QUEUE_NUM", NOTHING, true, 0, get_queue_num},
	[VHOST_USER_SET_VRING_ENABLE] = {"SET_VRING_ENABLE", A_STATE, false, 0,
					 vu_set_vring_enable},
	[VHOST_USER_SEND_RARP] = {"SEND_RARP", A_U64, false, NEEDS(RARP), send_rarp},
	[VHOST_USER_NET_SET_MTU] = {"NET_SET_MTU", A_U64, false, NEEDS(NET_MTU), net_set_mtu},
	[VHOST_USER_SET_BACKEND_REQ_FD] = {"SET_BACKEND_REQ_FD", 0, 8, 1, 1, false,
					   NEEDS(BACKEND_REQ), vu_set_backend_req_fd},
	[VHOST_USER_GET_CONFIG] = {"GET_CONFIG", VHOST_USER_CONFIG_HEADER,
				   sizeof(struct vhost_user_config), 0, 0, true, NEEDS(CONFIG),
				   get_config},
	[VHOST_USER_SET_CONFIG] = {"SET_CONFIG", VHOST_USER_CONFIG_HEADER,
				   sizeof(struct vhost_user_config), 0, 0, false, NEEDS(CONFIG),
				   set_config},
	/* 20 bytes of fields; QEMU's structure has 24. */
	[VHOST_USER_GET_INFLIGHT_FD] = {"GET_INFLIGHT_FD", 20, 24, 0, 0, true,
					NEEDS(INFLIGHT_SHMFD), vu_get_inflight_fd},
	[VHOST_USER_SET_INFLIGHT_FD] = {"SET_INFLIGHT_FD", 20, 24, 1, 1, false,
					NEEDS(INFLIGHT_SHMFD), vu_set_inflight_fd},
	[VHOST_USER_RESET_DEVICE] = {"RESET_DEVICE", NOTHING, false, NEEDS(RESET_DEVICE),
				     vu_reset_device},
	[VHOST_USER_VRING_KICK] = {"VRING_KICK", A_STATE, false, NEEDS(INBAND_NOTIFICATIONS),
				   vu_vring_kick},
	[VHOST_USER_GET_MAX_MEM_SLOTS] = {"GET_MAX_MEM_SLOTS", NOTHING, true,
					  NEEDS(CONFIGURE_MEM_SLOTS), get_max_mem_slots},
	[VHOST_USER_ADD_MEM_REG] = {"ADD_MEM_REG", 40, 40, 1, 1, false, NEEDS(CONFIGURE_MEM_SLOTS),
				    add_mem_reg},
	/* Some front ends send a descriptor with it: closed and not looked at. */
	[VHOST_USER_REM_MEM_REG] = {"REM_MEM_REG", 40, 40, 0, 1, false, NEEDS(CONFIGURE_MEM_SLOTS),
				    rem_mem_reg},
	[VHOST_USER_SET_DEVICE_STATE_FD] = {"SET_DEVICE_STATE_FD", 8, 8, 1, 1, true,
					    NEEDS(DEVICE_STATE), vu_set_device_state_fd},
	[VHOST_USER_CHECK_DEVICE_STATE] = {"CHECK_DEVICE_STATE", NOTHING, true, NEEDS(DEVICE_STATE),
					   vu_check_device_state},
	[VHOST_USER_SET_STATUS] = {"SET_STATUS", A_U64, false, NEEDS(STATUS), vu_set_status},
	[VHOST_USER_GET_STATUS] = {"GET_STATUS", NOTHING, true, NEEDS(STATUS), vu_get_status},
};

/*
 * The protocol features that a message needs. A card does not offer CONFIG, since QEMU warns of one
 * that does, but it has a config space: a front end that asks all the same is answered.
 */
static uint64_t needs_of(const struct vu_client *client, const struct verb *verb)
{
	return is_net(client) ? verb->needs & ~NEEDS(CONFIG) : verb->needs;
}

static int check_form(struct vu_client *client, const struct vu_message *message,
		      const struct verb **out)
{
	uint32_t request = message->head.request, size = message->head.size;
	const struct verb *verb = request < VHOST_USER_REQUEST_COUNT ? &verbs[request] : NULL;

	if (!verb || !verb->run)
		return error_set(&client->err, -EOPNOTSUPP, "request %u is not spoken here",
				 request);
	*out = verb;
	if (size < verb->size_min || size > verb->size_max)
		return error_set(&client->err, -EPROTO, "%s with %u bytes", verb->name, size);
	if (message->fd_count < verb->fds_min || message->fd_count > verb->fds_max)
		return error_set(&client->err, -EPROTO, "%s with %u descriptors", verb->name,
				 message->fd_count);
	if ((client->protocol & needs_of(client, verb)) != needs_of(client, verb))
		return error_set(&client->err, -EPROTO,
				 "%s without the protocol feature that it belongs to", verb->name);
	return 0;
}

/* --- Answers -----------------------------------------------------------------------------------
 */

static bool wants_ack(const struct vu_client *client, const struct vu_message *message)
{
	return vu_has(client, VHOST_USER_PROTOCOL_F_REPLY_ACK) &&
	       message->head.flags & VHOST_USER_NEED_REPLY;
}

/* Moves the answer from the message to where it goes out from. */
static void reply(struct vu_client *client)
{
	struct vu_message *message = &client->frame.message;

	message->head.flags = VHOST_USER_VERSION | VHOST_USER_REPLY;
	client->out.message = *message;
	client->out.sent = 0;
	client->out.busy = true;
	for (unsigned i = 0; i < VHOST_USER_MAX_FDS; i++)
		message->fds[i] = -1; /* they go with the answer */
}

/* A verb came to an end: answers as the protocol wants it. Returns 0, or an error: hang up. */
static int conclude(struct vu_client *client, int r)
{
	struct vu_message *message = &client->frame.message;
	uint32_t request = message->head.request;
	const struct verb *verb = request < VHOST_USER_REQUEST_COUNT ? &verbs[request] : NULL;
	bool replies = verb && verb->run && verb->replies;

	client->waiting = false;
	if (r < 0 && !client->err.text[0])
		error_set(&client->err, r, "%s failed: %s", verb && verb->name ? verb->name : "it",
			  strerror(-r));
	if (r < 0 && (r == -EPROTO || replies || !wants_ack(client, message))) {
		vu_frame_reset(&client->frame);
		return r;
	}
	if (r < 0)
		log_warning(device_name(client->export->device), "%s: %s", client->name,
			    client->err.text);
	if (!replies) {
		/* what a verb did not take over is closed, not sent back */
		vu_message_close(message);
		if (wants_ack(client, message)) {
			answer_u64(message, (uint64_t)-r);
			reply(client);
		}
	} else {
		reply(client);
	}
	vu_frame_reset(&client->frame);
	return 0;
}

void vu_later_begin(struct vu_client *client, int (*finish)(struct vu_client *, int))
{
	atomic_store(&client->later.answered, false);
	client->later.finish = finish;
	client->waiting = true;
}

void vu_later_done(void *arg, int result)
{
	struct vu_later *later = arg;
	uint64_t one = 1;

	later->result = result;
	atomic_store(&later->answered, true);
	if (write(later->export->wake, &one, sizeof(one)) < 0)
		return; /* EAGAIN: it is signalled already */
}

int vu_finish(struct vu_client *client)
{
	int r = VU_LATER;

	runtime_lock(client->export->runtime);
	while (r == VU_LATER && atomic_load(&client->later.answered))
		r = client->later.finish(client, client->later.result);
	runtime_unlock(client->export->runtime);
	return r == VU_LATER ? VU_LATER : conclude(client, r);
}

int vu_handle(struct vu_client *client)
{
	struct vu_message *message = &client->frame.message;
	const struct verb *verb = NULL;
	int r = check_form(client, message, &verb);

	if (r == 0) {
		log_trace(device_name(client->export->device), "vhost-user %s", verb->name);
		runtime_lock(client->export->runtime);
		r = verb->run(client, message);
		runtime_unlock(client->export->runtime);
	}
	return r == VU_LATER ? vu_finish(client) : conclude(client, r);
}
