/* Cases: who may call what, which errors win, backend features. Linux's answers (K rows 1 to 15,
 * B). */
#include "check/cases.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check/rig.h"
#include "check/target.h"
#include "wire/vhost.h"

#define BIT(n) (UINT64_C(1) << (n))

/* A command of another kind of vhost device: unknown here. */
#define FOREIGN _IOW(VHOST_VIRTIO, 0x30, struct vhost_vring_file)

static void kc01(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c), *second = NULL;

	want(c, uvdpa_driver_open(c->targets[0].name, 0, &second, NULL), -EBUSY, "a second open()");
	uvdpa_driver_close(drv);
	check_open(c);
}

static void kc02(struct check *c)
{
	struct uvdpa_driver *drv = check_open_flags(c, 0, UVDPA_OPEN_READ_ONLY);
	struct uvdpa_iotlb begin = {.version = 2, .kind = VHOST_IOTLB_BATCH_BEGIN};

	want(c, uvdpa_set_status(drv, 1), 0, "SET_STATUS 1 on a read-only file");
	want(c, uvdpa_suspend(drv), 0, "SUSPEND on a read-only file");
	want(c, uvdpa_iotlb_send(drv, &begin), -EBADF, "an IOTLB message on a read-only file");
}

/* Every call about one queue, each with index `index`. */
static void want_ring_calls(struct check *c, struct uvdpa_driver *drv, unsigned index, int expected)
{
	uint32_t n = 0;

	want(c, uvdpa_set_vring_num(drv, index, 16), expected, "SET_VRING_NUM");
	want(c, uvdpa_set_vring_addr(drv, index, 0, 0, 4096, 8192, 0), expected, "SET_VRING_ADDR");
	want(c, uvdpa_set_vring_base(drv, index, 0), expected, "SET_VRING_BASE");
	want(c, uvdpa_get_vring_base(drv, index, &n), expected, "GET_VRING_BASE");
	want(c, uvdpa_set_vring_kick(drv, index, -1), expected, "SET_VRING_KICK");
	want(c, uvdpa_set_vring_call(drv, index, -1), expected, "SET_VRING_CALL");
	want(c, uvdpa_set_vring_err(drv, index, -1), expected, "SET_VRING_ERR");
	want(c, uvdpa_set_vring_enable(drv, index, 0), expected, "SET_VRING_ENABLE");
	want(c, uvdpa_get_vring_group(drv, index, &n), expected, "GET_VRING_GROUP");
	want(c, uvdpa_set_group_asid(drv, index, 0), expected, "SET_GROUP_ASID");
}

static void kc03(struct check *c)
{
	want_ring_calls(c, check_open_flags(c, 0, UVDPA_OPEN_UNOWNED), 0, -EPERM);
}

static void kc04(struct check *c)
{
	struct uvdpa_driver *drv = check_open_flags(c, 0, UVDPA_OPEN_UNOWNED);
	const struct facts *f = c->facts;
	uint8_t byte, status = 0xff;
	uint64_t n, m;
	uint16_t num;
	uint32_t w;

	want(c, uvdpa_get_device_id(drv, &w), 0, "GET_DEVICE_ID");
	want(c, uvdpa_get_status(drv, &status), 0, "GET_STATUS");
	want(c, status, 0, "the status after open");
	want(c, uvdpa_set_status(drv, 1), 0, "SET_STATUS 1");
	if (f->config_size > 0)
		want(c, uvdpa_get_config(drv, 0, &byte, 1), 0, "GET_CONFIG");
	want(c, uvdpa_get_config_size(drv, &w), 0, "GET_CONFIG_SIZE");
	want(c, uvdpa_set_config_call(drv, -1), 0, "SET_CONFIG_CALL -1");
	want(c, uvdpa_get_features(drv, &n), 0, "GET_FEATURES");
	want(c, uvdpa_set_features(drv, n), 0, "SET_FEATURES of what is offered");
	want(c, uvdpa_get_backend_features(drv, &n), 0, "GET_BACKEND_FEATURES");
	want(c, uvdpa_set_backend_features(drv, 0), 0, "SET_BACKEND_FEATURES");
	want(c, uvdpa_get_vring_num(drv, &num), 0, "GET_VRING_NUM");
	want(c, uvdpa_get_vqs_count(drv, &w), 0, "GET_VQS_COUNT");
	want(c, uvdpa_get_iova_range(drv, &n, &m), 0, "GET_IOVA_RANGE");
	want(c, uvdpa_get_group_num(drv, &w), 0, "GET_GROUP_NUM");
	want(c, uvdpa_get_as_num(drv, &w), 0, "GET_AS_NUM");
	want(c, uvdpa_suspend(drv), 0, "SUSPEND");
	want(c, uvdpa_resume(drv), 0, "RESUME");
}

static void kc05(struct check *c)
{
	struct uvdpa_driver *drv = check_open_flags(c, 0, UVDPA_OPEN_UNOWNED);

	want(c, uvdpa_set_owner(drv), 0, "SET_OWNER");
	want(c, uvdpa_set_owner(drv), -EBUSY, "SET_OWNER again");
}

/* Runs in a child of the case: answers go to memory that both see. */
static void stranger(struct uvdpa_driver *drv, volatile int *answers)
{
	answers[0] = uvdpa_suspend(drv);
	answers[1] = uvdpa_set_vring_num(drv, 0, 16);
	answers[2] = uvdpa_iotlb_batch_begin(drv, 0);
	answers[3] = uvdpa_resume(drv);
}

static void kc06(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c);
	volatile int *answers =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	if (answers == MAP_FAILED)
		skip(c, "no shared memory");
	doing(c, "calls of a forked child");
	pid = fork();
	if (pid == 0) {
		stranger(drv, answers);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		skip(c, "cannot fork");
	want(c, answers[0], 0, "a child's SUSPEND");
	want(c, answers[1], -EPERM, "a child's SET_VRING_NUM");
	want(c, answers[2], -EFAULT, "a child's IOTLB message");
	want(c, answers[3], 0, "a child's RESUME");
}

static void kc07(struct check *c)
{
	struct uvdpa_driver *drv = check_open_flags(c, 0, UVDPA_OPEN_UNOWNED);

	want(c, uvdpa_reset_owner(drv), -EPERM, "RESET_OWNER by a stranger");
	want(c, uvdpa_set_owner(drv), 0, "SET_OWNER");
	want(c, uvdpa_reset_owner(drv), -EFAULT, "RESET_OWNER by the owner");
}

static void kc08(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c);
	uint32_t arg[4] = {0};

	want(c, uvdpa_ioctl(drv, FOREIGN, NULL), -EFAULT, "an unknown command with NULL");
	want(c, uvdpa_ioctl(drv, FOREIGN, arg), -ENOTTY, "an unknown command with &0");
	arg[0] = c->facts->vqs;
	want(c, uvdpa_ioctl(drv, FOREIGN, arg), -ENOBUFS, "an unknown command with &%u", arg[0]);
}

static void kc09(struct check *c)
{
	struct uvdpa_driver *drv = check_open_flags(c, 0, UVDPA_OPEN_UNOWNED);
	uint64_t base = 0;
	int fd = -1;

	for (unsigned owned = 0; owned < 2; owned++) {
		const char *who = owned ? "owner" : "stranger";

		want(c, uvdpa_ioctl(drv, VHOST_SET_LOG_BASE, &base), -ENOTTY, "SET_LOG_BASE, %s",
		     who);
		want(c, uvdpa_ioctl(drv, VHOST_SET_LOG_FD, &fd), -ENOTTY, "SET_LOG_FD, %s", who);
		if (!owned)
			want(c, uvdpa_set_owner(drv), 0, "SET_OWNER");
	}
}

static void kc10(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c);
	union {
		struct vhost_memory head;
		unsigned char
			room[sizeof(struct vhost_memory) + 66 * sizeof(struct vhost_memory_region)];
	} table;

	memset(&table, 0, sizeof(table));
	want(c, uvdpa_ioctl(drv, VHOST_SET_MEM_TABLE, &table), 0, "SET_MEM_TABLE, no regions");
	table.head.padding = 1;
	want(c, uvdpa_ioctl(drv, VHOST_SET_MEM_TABLE, &table), -EOPNOTSUPP,
	     "SET_MEM_TABLE, padding");
	table.head.padding = 0;
	table.head.nregions = 65;
	want(c, uvdpa_ioctl(drv, VHOST_SET_MEM_TABLE, &table), -E2BIG, "SET_MEM_TABLE, 65 regions");
}

static void kc11(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c);

	want_ring_calls(c, drv, c->facts->vqs, -ENOBUFS);
	want_ring_calls(c, drv, UINT32_MAX, -ENOBUFS);
}

static void kc12(struct check *c)
{
	static const struct {
		unsigned long cmd;
		const char *name;
	} calls[] = {
		{VHOST_VDPA_GET_DEVICE_ID, "GET_DEVICE_ID"},
		{VHOST_VDPA_GET_STATUS, "GET_STATUS"},
		{VHOST_VDPA_SET_STATUS, "SET_STATUS"},
		{VHOST_VDPA_GET_CONFIG, "GET_CONFIG"},
		{VHOST_VDPA_SET_CONFIG, "SET_CONFIG"},
		{VHOST_GET_FEATURES, "GET_FEATURES"},
		{VHOST_SET_FEATURES, "SET_FEATURES"},
		{VHOST_GET_BACKEND_FEATURES, "GET_BACKEND_FEATURES"},
		{VHOST_SET_BACKEND_FEATURES, "SET_BACKEND_FEATURES"},
		{VHOST_VDPA_GET_VRING_NUM, "GET_VRING_NUM"},
		{VHOST_VDPA_SET_CONFIG_CALL, "SET_CONFIG_CALL"},
		{VHOST_VDPA_GET_IOVA_RANGE, "GET_IOVA_RANGE"},
		{VHOST_VDPA_GET_CONFIG_SIZE, "GET_CONFIG_SIZE"},
		{VHOST_VDPA_GET_VQS_COUNT, "GET_VQS_COUNT"},
		{VHOST_SET_VRING_NUM, "SET_VRING_NUM"},
		{VHOST_SET_VRING_ADDR, "SET_VRING_ADDR"},
		{VHOST_SET_VRING_BASE, "SET_VRING_BASE"},
		{VHOST_GET_VRING_BASE, "GET_VRING_BASE"},
		{VHOST_SET_VRING_KICK, "SET_VRING_KICK"},
		{VHOST_SET_VRING_CALL, "SET_VRING_CALL"},
		{VHOST_SET_VRING_ERR, "SET_VRING_ERR"},
		{VHOST_VDPA_SET_VRING_ENABLE, "SET_VRING_ENABLE"},
	};
	struct uvdpa_driver *drv = check_open(c);

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		want(c, uvdpa_ioctl(drv, calls[i].cmd, NULL), -EFAULT, "%s with NULL",
		     calls[i].name);
}

static void kc13(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){.no_queues = true});
	want(c, uvdpa_ioctl(rig.drv, VHOST_SET_FEATURES, NULL), -EBUSY,
	     "SET_FEATURES with NULL after FEATURES_OK");
}

static void kc14(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c);

	want(c, uvdpa_ioctl(drv, VHOST_VDPA_SUSPEND, (void *)0xdead), 0, "SUSPEND with garbage");
	want(c, uvdpa_ioctl(drv, VHOST_VDPA_RESUME, (void *)0xdead), 0, "RESUME with garbage");
}

static void kc15(struct check *c)
{
	struct uvdpa_driver *drv = check_open_flags(c, 0, UVDPA_OPEN_UNOWNED);

	want(c, uvdpa_suspend_v6(drv, 0), -EPERM, "the first series' SUSPEND number, stranger");
	want(c, uvdpa_set_owner(drv), 0, "SET_OWNER");
	want(c, uvdpa_ioctl(drv, VHOST_VDPA_SUSPEND_V6, NULL), -EFAULT,
	     "the first series' SUSPEND number with NULL");
	want(c, uvdpa_suspend_v6(drv, 0), -ENOTTY, "the first series' SUSPEND number with &0");
	want(c, uvdpa_suspend_v6(drv, 1), c->facts->vqs > 1 ? -ENOTTY : -ENOBUFS,
	     "the first series' SUSPEND number with &1");
}

static void kb01(struct check *c)
{
	uint64_t offered = c->facts->backend;
	struct rig rig;

	if ((offered & 0xe) != 0xe)
		broken(c, "backend features 1 to 3 are always offered", "0x%llx",
		       (unsigned long long)offered);
	rig_set_up(c, &rig, &(struct rig_options){0});
	want(c, uvdpa_suspend(rig.drv), offered & BIT(VHOST_BACKEND_F_SUSPEND) ? 0 : -EOPNOTSUPP,
	     "SUSPEND, with bit 4 of the backend features %s",
	     offered & BIT(VHOST_BACKEND_F_SUSPEND) ? "offered" : "absent");
	want(c, uvdpa_resume(rig.drv), offered & BIT(VHOST_BACKEND_F_RESUME) ? 0 : -EOPNOTSUPP,
	     "RESUME, with bit 5 of the backend features %s",
	     offered & BIT(VHOST_BACKEND_F_RESUME) ? "offered" : "absent");
}

/* What SET_BACKEND_FEATURES answers to one bit. */
static int single_bit(uint64_t offered, unsigned bit)
{
	switch (bit) {
	case 1:
	case 2:
	case 3:
	case VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK:
		return 0;
	case VHOST_BACKEND_F_DESC_ASID: /* without bit 3 */
		return -EINVAL;
	case VHOST_BACKEND_F_SUSPEND:
	case VHOST_BACKEND_F_RESUME:
	case VHOST_BACKEND_F_IOTLB_PERSIST:
		return offered >> bit & 1 ? 0 : -EOPNOTSUPP;
	default:
		return -EOPNOTSUPP;
	}
}

static void kb02(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c);

	for (unsigned bit = 0; bit < 64; bit++)
		want(c, uvdpa_set_backend_features(drv, BIT(bit)),
		     single_bit(c->facts->backend, bit), "SET_BACKEND_FEATURES of bit %u", bit);
}

static void kb03(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c);
	bool offered = c->facts->backend >> VHOST_BACKEND_F_DESC_ASID & 1;

	want(c, uvdpa_set_backend_features(drv, BIT(3) | BIT(VHOST_BACKEND_F_DESC_ASID)),
	     offered ? 0 : -EOPNOTSUPP, "SET_BACKEND_FEATURES of bits 3 and 7");
}

static void kb04(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	want(c, uvdpa_set_backend_features(rig.drv, BIT(VHOST_BACKEND_F_SUSPEND)), 0,
	     "SET_BACKEND_FEATURES of bit 4");
	want(c, uvdpa_set_backend_features(rig.drv, 0), 0, "SET_BACKEND_FEATURES 0");
	want(c, uvdpa_suspend(rig.drv), 0, "SUSPEND without the bit acknowledged");
}

static void kb05(struct check *c)
{
	struct uvdpa_driver *drv = check_open_flags(c, 0, UVDPA_OPEN_UNOWNED);
	struct rig rig;

	want(c, uvdpa_set_backend_features(drv, BIT(1)), 0, "SET_BACKEND_FEATURES by a stranger");
	uvdpa_driver_close(drv);
	rig_set_up(c, &rig, &(struct rig_options){0});
	want(c, uvdpa_set_backend_features(rig.drv, BIT(1)), 0, "the same after DRIVER_OK");
	rig_suspend(&rig);
	want(c, uvdpa_set_backend_features(rig.drv, BIT(1)), 0, "the same while suspended");
}

static void kb06(struct check *c)
{
	struct rig rig;
	uint8_t *page;

	rig_set_up(c, &rig, &(struct rig_options){.no_queues = true});
	page = uvdpa_memory_base(rig.memory);
	want(c, uvdpa_set_backend_features(rig.drv, BIT(1)), 0, "SET_BACKEND_FEATURES of bit 1");
	want(c, uvdpa_iotlb_update(rig.drv, 1, 4096, 4096, page, 3), 0, "an update for asid 1");
	want(c, uvdpa_iotlb_update(rig.drv, 0, 4096, 4096, page, 3), -EFAULT,
	     "the same update for asid 0, with asids not acknowledged");
}

const struct check_case uapi_cases[] = {
	{"KC01", "uapi", "vhost_vdpa_open", "a device has one user at a time", 'M', NEED_FILE,
	 kc01},
	{"KC02", "uapi", "vhost_vdpa_fops", "a file opened read-only: all but IOTLB messages", 'K',
	 NEED_FILE, kc02},
	{"KC03", "uapi", "vhost_dev_check_owner", "calls about queues need ownership", 'M', 0,
	 kc03},
	{"KC04", "uapi", "vhost_vdpa_unlocked_ioctl", "calls about the device need none", 'M', 0,
	 kc04},
	{"KC05", "uapi", "vhost_dev_set_owner", "ownership is taken once", 'M', 0, kc05},
	{"KC06", "uapi", "vhost_dev_check_owner", "what a forked child may call", 'M', NEED_FILE,
	 kc06},
	{"KC07", "uapi", "vhost_vdpa_vring_ioctl", "RESET_OWNER is unknown", 'K', 0, kc07},
	{"KC08", "uapi", "vhost_vdpa_vring_ioctl", "which error an unknown command gets", 'K', 0,
	 kc08},
	{"KC09", "uapi", "vhost_vdpa_unlocked_ioctl", "no dirty log", 'M', 0, kc09},
	{"KC10", "uapi", "vhost_set_memory", "a memory table is checked and ignored", 'K', 0, kc10},
	{"KC11", "uapi", "vhost_vdpa_vring_ioctl", "queue indexes out of range", 'M', 0, kc11},
	{"KC12", "uapi", "vhost_vdpa_unlocked_ioctl", "NULL arguments", 'M', NEED_FILE, kc12},
	{"KC13", "uapi", "vhost_vdpa_set_features",
	 "after FEATURES_OK the argument is not even read", 'K', NEED_FILE, kc13},
	{"KC14", "uapi", "vhost_vdpa_suspend S1", "SUSPEND and RESUME ignore their argument", 'M',
	 NEED_SUSPEND | NEED_RESUME, kc14},
	{"KC15", "uapi", "vhost_vdpa_vring_ioctl S1", "the first series' SUSPEND number is unknown",
	 'K', 0, kc15},
	{"KB01", "uapi", "vhost_vdpa_get_backend_features S1",
	 "suspend and resume work exactly if offered", 'M', NEED_LOAD, kb01},
	{"KB02", "uapi", "vhost_vdpa_unlocked_ioctl", "each backend feature bit alone", 'M', 0,
	 kb02},
	{"KB03", "uapi", "vhost_vdpa_unlocked_ioctl",
	 "descriptor groups without a device that has them", 'M', 0, kb03},
	{"KB04", "uapi", "vhost_vdpa_suspend S1", "SUSPEND works without its bit acknowledged", 'M',
	 NEED_STOP, kb04},
	{"KB05", "uapi", "vhost_vdpa_unlocked_ioctl", "backend features can be set at any time",
	 'M', NEED_STOP, kb05},
	{"KB06", "uapi", "vhost_vdpa_process_iotlb_msg", "asids count only when acknowledged", 'K',
	 NEED_ASIDS, kb06},
};
CASE_COUNT(uapi);
