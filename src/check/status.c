/* Cases: the status byte and feature negotiation. */
#include "check/cases.h"

#include <errno.h>

#include "check/rig.h"
#include "check/target.h"
#include "wire/vhost.h"

#define BIT(n) (UINT64_C(1) << (n))

static void want_status(struct check *c, struct uvdpa_driver *drv, uint8_t expected,
			const char *when)
{
	uint8_t status = 0;

	want(c, uvdpa_get_status(drv, &status), 0, "GET_STATUS %s", when);
	if (status != expected) {
		if (c->kase->class != CASE_MUST)
			return defined(c, "status 0x%02x instead of 0x%02x %s", status, expected,
				       when);
		broken(c, "the status is what was set", "0x%02x instead of 0x%02x %s", status,
		       expected, when);
	}
}

static void kf01(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c);
	int r = uvdpa_set_features(drv, c->facts->features & ~BIT(VIRTIO_F_ACCESS_PLATFORM));

	want_or(c, r, -EINVAL, 0, "devices that decide at FEATURES_OK",
		"SET_FEATURES without ACCESS_PLATFORM");
}

static void kf02(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){.no_queues = true});
	want(c, uvdpa_set_features(rig.drv, rig.features), -EBUSY,
	     "SET_FEATURES after FEATURES_OK");
	want(c, uvdpa_set_status(rig.drv, 0), 0, "SET_STATUS 0");
	want(c, uvdpa_set_features(rig.drv, rig.features), 0, "SET_FEATURES after a reset");
}

static void kf03(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	want_status(c, rig.drv, 0xf, "after DRIVER_OK");
	want(c, uvdpa_set_status(rig.drv, 0xb), -EINVAL, "SET_STATUS that takes DRIVER_OK away");
	want_status(c, rig.drv, 0xf, "after that");
}

static void kf04(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c);

	want(c, uvdpa_set_status(drv, 4), 0, "SET_STATUS 4 on a fresh device");
	want(c, uvdpa_set_status(drv, 0), 0, "SET_STATUS 0");
	want(c, uvdpa_set_status(drv, 0x80), 0, "SET_STATUS FAILED");
	want(c, uvdpa_set_status(drv, 1), -EINVAL, "SET_STATUS 1 after FAILED");
	want(c, uvdpa_set_status(drv, 0), 0, "SET_STATUS 0 after FAILED");
	want_status(c, drv, 0, "after the reset");
}

static void kf05(struct check *c)
{
	static const uint8_t states[] = {0, 1, 3, 0xb, 0xf};
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){.no_queues = true});
	for (unsigned i = 0; i < sizeof(states); i++) {
		want(c, uvdpa_set_status(rig.drv, 0), 0, "SET_STATUS 0");
		want_status(c, rig.drv, 0, "after SET_STATUS 0");
		if (states[i] >= 0xb)
			want(c, uvdpa_set_features(rig.drv, rig.features), 0, "SET_FEATURES");
		if (states[i])
			want(c, uvdpa_set_status(rig.drv, states[i]), 0, "SET_STATUS 0x%x",
			     states[i]);
	}
}

static void f06(struct check *c)
{
	static const uint8_t steps[] = {1, 3};
	struct uvdpa_driver *drv = check_open(c);

	want_status(c, drv, 0, "after open");
	for (unsigned i = 0; i < sizeof(steps); i++) {
		want(c, uvdpa_set_status(drv, steps[i]), 0, "SET_STATUS %u", steps[i]);
		want_status(c, drv, steps[i], "read back");
	}
	want(c, uvdpa_set_features(drv, c->facts->features), 0,
	     "SET_FEATURES of all that is offered");
	want(c, uvdpa_set_status(drv, 0xb), 0, "FEATURES_OK");
	want_status(c, drv, 0xb, "with all features that are offered");
}

static void f07(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c);
	uint64_t unknown = ~c->facts->features & BIT(61);
	uint8_t status = 0;
	int r;

	if (!unknown)
		skip(c, "the device offers feature bit 61");
	r = uvdpa_set_features(drv, c->facts->features | unknown);
	if (r == -EINVAL || (r < 0 && target_is_socket(c))) {
		defined(c, "SET_FEATURES of a bit that is not offered is refused (%s)", answer(r));
		return;
	}
	want(c, r, 0, "SET_FEATURES of a bit that is not offered");
	uvdpa_set_status(drv, 3);
	uvdpa_set_status(drv, 0xb);
	uvdpa_get_status(drv, &status);
	defined(c, "a feature bit that is not offered is %s",
		status & 8 ? "dropped silently" : "refused at FEATURES_OK");
}

static void f08(struct check *c)
{
	struct rig rig;
	struct uvdpa_driver *drv;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 4, "after DRIVER_OK");
	uvdpa_driver_close(rig.drv);
	drv = check_open(c);
	want_status(c, drv, 0, "after close and open");
}

static void f09(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	for (unsigned i = 0; i < 20; i++) {
		load_must_run(&rig, 2, "with DRIVER_OK written again in between");
		want(c, uvdpa_set_status(rig.drv, 0xf), 0, "SET_STATUS 0xf again");
	}
}

static void f10(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	for (unsigned i = 0; i < 10; i++) {
		load_must_run(&rig, 5, "between resets");
		rig_reset(&rig);
		if (target_is_socket(c))
			root(c, "virtio 2.4.1", ROOT_RESET); /* of whatever follows */
		for (unsigned q = 0; q < rig.queues; q++) {
			rig_want_virgin(&rig, q);
			if (uvdpa_queue_in_flight(rig.queue[q]) == 0)
				uvdpa_queue_restart(rig.queue[q], rig_first(&rig));
		}
		rig_negotiate(&rig);
		rig_start(&rig);
	}
}

const struct check_case status_cases[] = {
	{"KF01", "status", "vdpasim_set_driver_features", "features without ACCESS_PLATFORM", 'D',
	 0, kf01},
	{"KF02", "status", "vhost_vdpa_set_features",
	 "features are fixed from FEATURES_OK to reset", 'M', 0, kf02},
	{"KF03", "status", "vhost_vdpa_set_status", "a status bit cannot be taken away", 'M',
	 NEED_LOAD, kf03},
	{"KF04", "status", "vhost_vdpa_set_status",
	 "any bit may be set first; FAILED sticks until reset", 'M', 0, kf04},
	{"KF05", "status", "vhost_vdpa_set_status", "reset from any state gives status 0", 'M', 0,
	 kf05, .user = "virtio 2.4.1"},
	{"F06", "status", "virtio 3.1.1", "the device takes all the features it offers", 'M', 0,
	 f06},
	{"F07", "status", "virtio 3.1.1", "a feature that is not offered", 'D', 0, f07},
	{"F08", "status", "vhost_vdpa_release", "after close and open the status is 0", 'M',
	 NEED_LOAD, f08},
	{"F09", "status", "vhost_vdpa_set_status",
	 "DRIVER_OK written again does not disturb a running device", 'M', NEED_LOAD, f09,
	 .user = "virtio 2.1"},
	{"F10", "status", "vhost_vdpa_set_status",
	 "resets under way: bases are 0 and everything can be set up anew", 'M', NEED_LOAD, f10,
	 .user = "virtio 2.4.1"},
};
CASE_COUNT(status);
