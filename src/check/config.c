/* Cases: the config space and its interrupt. */
#include "check/cases.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>

#include "check/rig.h"
#include "check/target.h"
#include "wire/vhost.h"

static void need_config(struct check *c)
{
	if (c->facts->config_size == 0)
		skip(c, "the device has no config space");
}

static void c01(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c);
	uint32_t size = c->facts->config_size;
	uint8_t bytes[4];

	need_config(c);
	want(c, uvdpa_get_config(drv, 0, bytes, 0), -EINVAL, "GET_CONFIG of no bytes");
	want(c, uvdpa_get_config(drv, size, bytes, 1), -EINVAL, "GET_CONFIG behind the end");
	want(c, uvdpa_get_config(drv, size + 1, bytes, 1), -EINVAL, "GET_CONFIG beyond the end");
	want(c, uvdpa_get_config(drv, size - 1, bytes, 2), -EINVAL, "GET_CONFIG across the end");
	want(c, uvdpa_get_config(drv, UINT32_MAX, bytes, 2), -EINVAL, "GET_CONFIG at 2^32-1");
	want(c, uvdpa_get_config(drv, size - 1, bytes, 1), 0, "GET_CONFIG of the last byte");
}

/* At every offset, in each of the sizes that a driver reads. */
static void c02(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c);
	uint32_t size = c->facts->config_size;
	uint8_t whole[4096], some[4];

	need_config(c);
	if (size > sizeof(whole))
		size = sizeof(whole);
	want(c, uvdpa_get_config(drv, 0, whole, size), 0, "GET_CONFIG of everything");
	for (uint32_t n = 1; n <= sizeof(some); n *= 2) {
		for (uint32_t i = 0; i + n <= size; i++) {
			want(c, uvdpa_get_config(drv, i, some, n), 0,
			     "GET_CONFIG of %u bytes at %u", n, i);
			if (memcmp(some, whole + i, n))
				broken(c, "a part of config space reads the same as the whole",
				       "%u bytes at %u begin with 0x%02x, alone with 0x%02x", n, i,
				       whole[i], some[0]);
		}
	}
}

static void c03(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c);
	uint32_t size = c->facts->config_size;
	uint8_t bytes[2] = {0};

	need_config(c);
	want(c, uvdpa_set_config(drv, 0, bytes, 0), -EINVAL, "SET_CONFIG of no bytes");
	want(c, uvdpa_set_config(drv, size, bytes, 1), -EINVAL, "SET_CONFIG behind the end");
	want(c, uvdpa_set_config(drv, size - 1, bytes, 2), -EINVAL, "SET_CONFIG across the end");
	uvdpa_get_config(drv, 0, bytes, 1);
	want(c, uvdpa_set_config(drv, 0, bytes, 1), 0, "SET_CONFIG of what is there");
}

static void c04(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c);
	int plain = open("/", O_RDONLY | O_CLOEXEC), gone = check_closed_fd();
	int good = eventfd(0, EFD_CLOEXEC);

	want(c, uvdpa_set_config_call(drv, good), 0, "SET_CONFIG_CALL of an eventfd");
	want(c, uvdpa_set_config_call(drv, gone), -EBADF, "SET_CONFIG_CALL of a closed fd");
	want(c, uvdpa_set_config_call(drv, plain), -EINVAL, "SET_CONFIG_CALL of another file");
	want(c, uvdpa_set_config_call(drv, -1), 0, "SET_CONFIG_CALL -1");
}

static void c05(struct check *c)
{
	struct rig rig;
	uint8_t before[256], after[256];
	uint32_t size = c->facts->config_size < 256 ? c->facts->config_size : 256;

	need_config(c);
	rig_set_up(c, &rig, &(struct rig_options){0});
	want(c, uvdpa_get_config(rig.drv, 0, before, size), 0, "GET_CONFIG with DRIVER_OK");
	load_must_run(&rig, 8, "between two looks at the config space");
	want(c, uvdpa_get_config(rig.drv, 0, after, size), 0, "GET_CONFIG after some work");
	if (memcmp(before, after, size))
		broken(c, "work does not change the config space", "it did");
	rig_reset(&rig);
	want(c, uvdpa_get_config(rig.drv, 0, after, size), 0, "GET_CONFIG after a reset");
}

const struct check_case config_cases[] = {
	{"C01", "config", "vhost_vdpa_config_validate", "reads stay inside", 'M', 0, c01},
	{"C02", "config", "vhost_vdpa_get_config", "byte by byte is the same as at once", 'M', 0,
	 c02, .user = "vhost-user GET_CONFIG"},
	{"C03", "config", "vhost_vdpa_config_validate", "writes stay inside", 'M', 0, c03},
	{"C04", "config", "vhost_vdpa_set_config_call", "eventfds: closed, something else, none",
	 'M', 0, c04},
	{"C05", "config", "vhost_vdpa_get_config",
	 "reads work in every status, and work changes nothing", 'M', NEED_LOAD, c05,
	 .user = "vhost-user GET_CONFIG"},
};
CASE_COUNT(config);
