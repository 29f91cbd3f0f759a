/* Cases: network devices (virtio 5.1). */
#include "check/cases.h"

#include <errno.h>
#include <string.h>

#include "check/options.h"
#include "check/still.h"
#include "check/target.h"
#include "wire/vhost.h"

#include <linux/virtio_net.h>

static void n01(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	for (unsigned i = 0; i < 20; i++)
		load_must_run(&rig, 1 + i, "through the loop");
	load_check_canaries(&rig);
}

static void n02(struct check *c)
{
	struct rig rig;
	struct uvdpa_segment s;
	struct uvdpa_completion done;
	uint8_t *p;

	rig_set_up(c, &rig, &(struct rig_options){0});
	p = uvdpa_memory_alloc(rig.memory, 64, 64);
	if (!p)
		skip(c, "no room for a frame");
	s = (struct uvdpa_segment){uvdpa_memory_iova(rig.memory, p), 14, 0};
	want(c, uvdpa_queue_add(rig.queue[1], &s, 1, 0, 99) < 0, 0, "adding a frame");
	uvdpa_queue_publish(rig.queue[1]);
	rig_kick(&rig);
	if (uvdpa_queue_wait(rig.queue[1], (int)c->options->patience) != 1 ||
	    uvdpa_queue_poll(rig.queue[1], &done, 1) != 1)
		broken(c, "a frame shorter than an ethernet header is dropped and completed",
		       "not completed within %d ms", (int)c->options->patience);
	load_must_run(&rig, 4, "after a short frame");
}

/* Puts MAC_ADDR_SET into the control queue; the place of its ack byte. */
static volatile uint8_t *post_mac(struct rig *rig, const uint8_t *mac)
{
	uint8_t *p = uvdpa_memory_alloc(rig->memory, 64, 64);
	struct uvdpa_segment parts[3];

	if (!p)
		skip(rig->c, "no room for a control request");
	p[0] = VIRTIO_NET_CTRL_MAC;
	p[1] = VIRTIO_NET_CTRL_MAC_ADDR_SET;
	memcpy(p + 2, mac, 6);
	p[32] = 0xa5;
	parts[0] = (struct uvdpa_segment){uvdpa_memory_iova(rig->memory, p), 2, 0};
	parts[1] = (struct uvdpa_segment){uvdpa_memory_iova(rig->memory, p + 2), 6, 0};
	parts[2] = (struct uvdpa_segment){uvdpa_memory_iova(rig->memory, p + 32), 1, 1};
	if (uvdpa_queue_add(rig->queue[2], parts, 3, 0, 77) < 0)
		skip(rig->c, "the control queue is full");
	uvdpa_queue_publish(rig->queue[2]);
	return p + 32;
}

static void want_ack(struct rig *rig, volatile uint8_t *ack, const char *when)
{
	for (unsigned i = 0; i < rig->c->options->patience && *ack == 0xa5; i++)
		check_sleep(1000);
	if (*ack != 0)
		broken(rig->c, "the control queue sets the MAC address", "ack 0x%02x %s", *ack,
		       when);
}

static const uint8_t other_mac[6] = {0x02, 0x11, 0x22, 0x33, 0x44, 0x55};

static void set_mac(struct rig *rig, const uint8_t *mac, const char *when)
{
	volatile uint8_t *ack = post_mac(rig, mac);

	uvdpa_queue_kick_always(rig->queue[2]);
	want_ack(rig, ack, when);
}

static void n03(struct check *c)
{
	uint8_t old[6], now[6];
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){.cvq = true});
	want(c, uvdpa_get_config(rig.drv, 0, old, 6), 0, "GET_CONFIG of the MAC");
	set_mac(&rig, other_mac, "at first");
	want(c, uvdpa_get_config(rig.drv, 0, now, 6), 0, "GET_CONFIG of the MAC");
	set_mac(&rig, old, "setting the old address back");
	if (memcmp(now, other_mac, 6))
		broken(c, "the MAC address that was set shows in config space", "it does not");
}

static void ks25(struct check *c)
{
	uint8_t old[6], now[6];
	volatile uint8_t *ack;
	struct rig rig;
	struct still s;

	rig_set_up(c, &rig, &(struct rig_options){.cvq = true});
	want(c, uvdpa_get_config(rig.drv, 0, old, 6), 0, "GET_CONFIG of the MAC");
	rig_suspend(&rig);
	ack = post_mac(&rig, other_mac);
	still_take(&rig, &s, STILL_ALL);
	uvdpa_queue_kick_always(rig.queue[2]);
	check_sleep(WATCH_US);
	still_check(&rig, &s, "after a control request while suspended");
	rig_resume(&rig);
	want_ack(&rig, ack, "after RESUME");
	want(c, uvdpa_get_config(rig.drv, 0, now, 6), 0, "GET_CONFIG of the MAC");
	set_mac(&rig, old, "setting the old address back");
	if (memcmp(now, other_mac, 6))
		broken(c, "the MAC address is set after RESUME", "it is not");
}

static void n04(struct check *c)
{
	struct rig rig;
	struct rounds r;

	rig_set_up(c, &rig, &(struct rig_options){.size = 256});
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		load_fill(&rig);
		rig_kick(&rig);
		load_collect(&rig);
		check_sleep(check_random(c, 200));
	}
	load_must_settle(&rig, "of a flood");
	load_check_canaries(&rig);
}

const struct check_case net_cases[] = {
	{"N01", "net", "virtio 5.1.6", "frames come back once, in order, as they were sent", 'M',
	 NEED_LOOPBACK | NEED_LOAD, n01},
	{"N02", "net", "vdpasim_net_work", "a frame that is too short", 'M', NEED_NET | NEED_LOAD,
	 n02, .user = "robustness"},
	{"N03", "net", "virtio 5.1.6.5", "the control queue sets the MAC address", 'M',
	 NEED_CVQ | NEED_LOAD | NEED_CONFIG, n03},
	{"N04", "net", "vdpasim_net_work", "a flood", 'M', NEED_LOOPBACK | NEED_LOAD, n04},
	{"KS25", "net", "vdpasim_handle_cvq S2 S5", "the control queue stands still, too", 'M',
	 NEED_CYCLE | NEED_CVQ | NEED_CONFIG, ks25, .user = "vhost-user ring states"},
};
CASE_COUNT(net);
