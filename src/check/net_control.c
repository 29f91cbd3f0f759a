/*
 * Cases: a network device's control queue (virtio 5.1.6.5), and frames over suspensions.
 *
 * The control queue is set up here, not by the rig: it may lie in memory and an address space of
 * its own, and with VIRTIO_NET_F_MQ it is another one.
 */
#include "check/cases.h"

#include <errno.h>
#include <string.h>

#include "check/options.h"
#include "check/still.h"
#include "check/target.h"
#include "util/bytes.h"
#include "wire/vhost.h"

#include <linux/virtio_net.h>

#define BIT(n)	(UINT64_C(1) << (n))
#define PENDING 0xa5 /* the answer of a command that has none yet */
#define HEADER	12u
#define FRAME	60u

struct control {
	struct rig *rig;
	struct uvdpa_memory *memory;
	struct uvdpa_queue *queue;
	uint64_t commands;
};

/* Everything but the control queue and DRIVER_OK. */
static void set_up(struct check *c, struct rig *rig, uint64_t features)
{
	rig_set_up(c, rig, &(struct rig_options){.features_on = features, .no_driver_ok = true});
	if ((rig->features & features) != features)
		skip(c, "the network device does not offer feature bit %d",
		     __builtin_ctzll(features & ~rig->features));
}

static void start(struct rig *rig, struct control *k, struct uvdpa_memory *memory, unsigned index)
{
	const struct uvdpa_queue_options options = {
		.size = uvdpa_queue_size(rig->queue[0]),
		.features = rig->features,
		.poll_us = UVDPA_QUEUE_POLL_NEVER,
	};
	struct uvdpa_error error = {0};

	*k = (struct control){.rig = rig, .memory = memory};
	doing(rig->c, "setting up the control queue");
	if (uvdpa_queue_new(memory, &options, &k->queue, &error) < 0)
		skip(rig->c, "no control queue: %s", error.text);
	if (uvdpa_driver_attach(rig->drv, index, k->queue, uvdpa_queue_base(k->queue), &error) < 0)
		broken(rig->c, "the control queue can be set up", "%s", error.text);
	doing(rig->c, "DRIVER_OK");
	if (uvdpa_driver_start(rig->drv, &error) < 0)
		broken(rig->c, "the device takes DRIVER_OK", "%s", error.text);
	doing(rig->c, "after the set-up");
}

/* Puts a command into the ring, and kicks; where its answer will be. */
static volatile uint8_t *post(struct control *k, const uint8_t *bytes, uint32_t size)
{
	struct rig *rig = k->rig;
	uint8_t *p = uvdpa_memory_alloc(k->memory, 128, 64);
	struct uvdpa_segment parts[3];
	unsigned n = 0;

	if (!p)
		skip(rig->c, "no room for a command");
	memcpy(p, bytes, size);
	p[100] = PENDING;
	parts[n++] = (struct uvdpa_segment){uvdpa_memory_iova(k->memory, p), 2, 0};
	if (size > 2)
		parts[n++] =
			(struct uvdpa_segment){uvdpa_memory_iova(k->memory, p + 2), size - 2, 0};
	parts[n++] = (struct uvdpa_segment){uvdpa_memory_iova(k->memory, p + 100), 1, 1};
	if (uvdpa_queue_add(k->queue, parts, n, 0, ++k->commands) < 0)
		skip(rig->c, "the control queue is full");
	uvdpa_queue_publish(k->queue);
	uvdpa_queue_kick_always(k->queue);
	return p + 100;
}

/* Waits for the answer of the command posted last. */
static uint8_t await(struct control *k, volatile uint8_t *answer_at)
{
	struct uvdpa_completion done;
	unsigned patience = k->rig->c->options->patience;
	int n = 0;

	for (unsigned i = 0; i < patience && n == 0; i++) {
		n = uvdpa_queue_poll(k->queue, &done, 1);
		if (n == 0)
			check_sleep(1000);
	}
	if (n != 1 || done.cookie != k->commands || done.written != 1)
		broken(k->rig->c, "each command is answered, with one byte",
		       "%s, after command %llu",
		       n == 1 ? "something else was completed" : answer(n),
		       (unsigned long long)k->commands);
	return *answer_at;
}

static uint8_t run(struct control *k, const uint8_t *bytes, uint32_t size)
{
	return await(k, post(k, bytes, size));
}

static void must(struct control *k, const uint8_t *bytes, uint32_t size, const char *what)
{
	uint8_t ack = run(k, bytes, size);

	if (ack != VIRTIO_NET_OK)
		broken(k->rig->c, "a command that makes sense is done", "%s: ack 0x%02x", what,
		       ack);
}

static void must_refuse(struct control *k, const uint8_t *bytes, uint32_t size, const char *what)
{
	uint8_t ack = run(k, bytes, size);

	if (ack != VIRTIO_NET_ERR)
		broken(k->rig->c, "a command that makes no sense is answered with VIRTIO_NET_ERR",
		       "%s: ack 0x%02x", what, ack);
}

#define MUST(k, what, ...) \
	must(k, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), what)
#define MUST_REFUSE(k, what, ...) \
	must_refuse(k, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), what)

static void read_mac(struct rig *rig, uint8_t mac[6])
{
	want(rig->c, uvdpa_get_config(rig->drv, 0, mac, 6), 0, "GET_CONFIG of the MAC");
}

static void set_mac(struct control *k, const uint8_t mac[6])
{
	uint8_t bytes[8] = {VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET};

	memcpy(bytes + 2, mac, 6);
	must(k, bytes, sizeof(bytes), "MAC_ADDR_SET");
}

static const uint8_t other_mac[6] = {0x02, 0x11, 0x22, 0x33, 0x44, 0x66};

/* A hypervisor that shadows the control queue keeps its memory to itself. */
static void n05(struct check *c)
{
	const struct uvdpa_memory_options apart = {.size = 1 << 20, .kind = UVDPA_MEMORY_SHARED};
	uint32_t control = 0, data = 0;
	struct uvdpa_memory *memory;
	uint8_t old[6], now[6];
	struct control k;
	struct rig rig;

	set_up(c, &rig, 0);
	want(c, uvdpa_get_vring_group(rig.drv, 2, &control), 0, "GET_VRING_GROUP of queue 2");
	want(c, uvdpa_get_vring_group(rig.drv, 0, &data), 0, "GET_VRING_GROUP of queue 0");
	if (control == data)
		skip(c, "the control queue is in the same group as the others");
	want(c, uvdpa_set_group_asid(rig.drv, control, 1), 0, "SET_GROUP_ASID of group %u",
	     control);
	if (uvdpa_memory_new(&apart, &memory, NULL) < 0)
		skip(c, "no second memory");
	if (uvdpa_driver_map(rig.drv, memory, 1, NULL) < 0)
		broken(c, "memory can be mapped in address space 1", "it cannot");
	start(&rig, &k, memory, 2);
	load_must_run(&rig, 4, "with the control queue in address space 1");
	read_mac(&rig, old);
	set_mac(&k, other_mac);
	read_mac(&rig, now);
	set_mac(&k, old);
	load_must_run(&rig, 4, "after commands in address space 1");
	if (memcmp(now, other_mac, 6))
		broken(c, "the MAC address that was set shows in config space", "it does not");
}

static void n06(struct check *c)
{
	uint8_t old[6], now[6];
	struct control k;
	struct rig rig;

	set_up(c, &rig, 0);
	start(&rig, &k, rig.memory, 2);
	read_mac(&rig, old);
	MUST_REFUSE(&k, "a class that there is not", 0x7f, 0);
	MUST_REFUSE(&k, "a command that there is not", VIRTIO_NET_CTRL_MAC, 0x7f, 1, 2, 3, 4, 5, 6);
	MUST_REFUSE(&k, "MAC_ADDR_SET without an address", VIRTIO_NET_CTRL_MAC,
		    VIRTIO_NET_CTRL_MAC_ADDR_SET);
	MUST_REFUSE(&k, "MAC_ADDR_SET with half an address", VIRTIO_NET_CTRL_MAC,
		    VIRTIO_NET_CTRL_MAC_ADDR_SET, 2, 3, 4);
	MUST_REFUSE(&k, "a receive mode that was not negotiated", VIRTIO_NET_CTRL_RX,
		    VIRTIO_NET_CTRL_RX_PROMISC, 0);
	read_mac(&rig, now);
	set_mac(&k, old);
	if (memcmp(now, old, 6))
		broken(c, "a command that is refused changes nothing", "the MAC address changed");
	load_must_run(&rig, 4, "after commands that were refused");
}

/* What is put into the rings before and while it stands still comes back once, whole, in order. */
static void n07(struct check *c)
{
	struct rig rig;
	struct rounds r;

	rig_set_up(c, &rig, &(struct rig_options){.size = 256});
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		load_post(&rig, load_room(&rig) / 2);
		rig_kick(&rig);
		check_sleep(check_random(c, 300));
		rig_suspend(&rig);
		load_collect(&rig);
		load_post(&rig, load_room(&rig));
		rig_kick(&rig);
		still_watch(&rig, STILL_BASE | STILL_USED, 1000,
			    "with frames to send and to receive");
		load_collect(&rig);
		rig_resume(&rig);
		rig_kick(&rig);
		load_must_settle(&rig, "of those around a suspension");
	}
	load_check_canaries(&rig);
	if (rig.load.received != rig.load.posted)
		broken(c, "as many frames come back as were sent", "%llu of %llu",
		       (unsigned long long)rig.load.received, (unsigned long long)rig.load.posted);
}

static void n08(struct check *c)
{
	uint8_t bytes[2];
	struct control k;
	unsigned pairs;
	struct rig rig;

	set_up(c, &rig, BIT(VIRTIO_NET_F_MQ));
	want(c,
	     uvdpa_get_config(rig.drv, offsetof(struct virtio_net_config, max_virtqueue_pairs),
			      bytes, 2),
	     0, "GET_CONFIG of max_virtqueue_pairs");
	pairs = load_le16(bytes);
	if (pairs < 2 || pairs > VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MAX)
		broken(c, "a device with VIRTIO_NET_F_MQ has at least two pairs of queues",
		       "max_virtqueue_pairs is %u", pairs);
	start(&rig, &k, rig.memory, 2 * pairs);
	MUST_REFUSE(&k, "no pair at all", VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 0,
		    0);
	MUST_REFUSE(&k, "one pair too many", VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
		    (uint8_t)(pairs + 1), (uint8_t)((pairs + 1) >> 8));
	MUST_REFUSE(&k, "half a number", VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 1);
	MUST(&k, "all pairs", VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, (uint8_t)pairs,
	     (uint8_t)(pairs >> 8));
	MUST(&k, "one pair", VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 1, 0);
	load_must_run(&rig, 8, "with one of several pairs in use");
}

/* Sends a frame to an address. A buffer that it may come back into has to be there. */
static void send_to(struct rig *rig, const uint8_t mac[6], uint8_t tag)
{
	uint8_t *p = uvdpa_memory_alloc(rig->memory, HEADER + FRAME, 64);
	struct uvdpa_segment s;

	if (!p)
		skip(rig->c, "no room for a frame");
	memset(p, 0, HEADER + FRAME);
	memcpy(p + HEADER, mac, 6);
	p[HEADER + 6] = 0x02;
	p[HEADER + 12] = 0x88;
	p[HEADER + 13] = 0xb5;
	p[HEADER + 14] = tag;
	s = (struct uvdpa_segment){uvdpa_memory_iova(rig->memory, p), HEADER + FRAME, 0};
	if (uvdpa_queue_add(rig->queue[1], &s, 1, 0, tag) < 0)
		skip(rig->c, "the send queue is full");
	uvdpa_queue_publish(rig->queue[1]);
	uvdpa_queue_kick_always(rig->queue[1]);
}

/* The next frame that comes back has to be this one. */
static void expect(struct rig *rig, uint8_t *buffer, uint8_t tag, const char *when)
{
	struct uvdpa_completion done;
	int n = 0;

	for (unsigned i = 0; i < rig->c->options->patience && n == 0; i++) {
		n = uvdpa_queue_poll(rig->queue[0], &done, 1);
		if (n == 0)
			check_sleep(1000);
	}
	if (n != 1)
		broken(rig->c, "a frame that the receive filter lets through comes back",
		       "%s: no frame", when);
	if (buffer[HEADER + 14] != tag)
		broken(rig->c, "a frame comes back if the receive filter lets it through, else not",
		       "%s: frame %u instead of %u", when, buffer[HEADER + 14], tag);
}

static uint8_t *post_buffer(struct rig *rig)
{
	uint8_t *p = uvdpa_memory_alloc(rig->memory, 256, 64);
	struct uvdpa_segment s;

	if (!p)
		skip(rig->c, "no room for a buffer");
	s = (struct uvdpa_segment){uvdpa_memory_iova(rig->memory, p), 256, 1};
	if (uvdpa_queue_add(rig->queue[0], &s, 1, 0, 1) < 0)
		skip(rig->c, "the receive queue is full");
	uvdpa_queue_publish(rig->queue[0]);
	uvdpa_queue_kick_always(rig->queue[0]);
	return p;
}

/* Each frame that shall not come back is followed by one that shall: what is seen is the order. */
static void n09(struct check *c)
{
	static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	uint8_t *buffer, mac[6];
	struct control k;
	struct rig rig;

	set_up(c, &rig, BIT(VIRTIO_NET_F_CTRL_RX));
	start(&rig, &k, rig.memory, 2);
	read_mac(&rig, mac);
	buffer = post_buffer(&rig);
	send_to(&rig, other_mac, 1);
	expect(&rig, buffer, 1, "without a word from the driver");
	MUST(&k, "PROMISC off", VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 0);
	buffer = post_buffer(&rig);
	send_to(&rig, other_mac, 2);
	send_to(&rig, everybody, 3);
	expect(&rig, buffer, 3, "to another address, and then to all");
	buffer = post_buffer(&rig);
	send_to(&rig, other_mac, 4);
	send_to(&rig, mac, 5);
	expect(&rig, buffer, 5, "to another address, and then to the device's");
	MUST_REFUSE(&k, "PROMISC 2", VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 2);
	MUST(&k, "PROMISC on", VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1);
	buffer = post_buffer(&rig);
	send_to(&rig, other_mac, 6);
	expect(&rig, buffer, 6, "to another address, promiscuous");
}

const struct check_case net_control_cases[] = {
	{"N05", "net", "vdpasim_net_add", "the control queue in an address space of its own", 'M',
	 NEED_CVQ | NEED_LOAD | NEED_ASIDS | NEED_GROUPS | NEED_CONFIG, n05},
	{"N06", "net", "virtio 5.1.6.5",
	 "commands that make no sense are refused, and change nothing", 'M',
	 NEED_CVQ | NEED_LOAD | NEED_CONFIG, n06},
	{"N07", "net", "vdpasim_net_work S2 S11",
	 "frames around suspensions come back once, in order", 'M', NEED_CYCLE | NEED_LOOPBACK, n07,
	 .user = "vhost-user ring states"},
	{"N08", "net", "virtio 5.1.6.5.5", "how many pairs of queues are used", 'M',
	 NEED_CVQ | NEED_LOAD | NEED_CONFIG, n08},
	{"N09", "net", "virtio 5.1.6.5.1", "the receive filter", 'M',
	 NEED_CVQ | NEED_LOAD | NEED_LOOPBACK | NEED_CONFIG, n09},
};
CASE_COUNT(net_control);
