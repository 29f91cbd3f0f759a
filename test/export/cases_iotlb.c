/* IOTLB messages, through whichever export: what is accepted, and what the device reaches then. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "export/devices.h"
#include "export/target.h"

#define UPDATE	   VHOST_IOTLB_UPDATE
#define INVALIDATE VHOST_IOTLB_INVALIDATE
#define BEGIN	   VHOST_IOTLB_BATCH_BEGIN
#define END	   VHOST_IOTLB_BATCH_END
#define PERSIST	   (1ull << VHOST_BACKEND_F_IOTLB_PERSIST)
#define ASID	   (1ull << VHOST_BACKEND_F_IOTLB_ASID)
#define SOMEWHERE  0x7f0000000000ull /* an address that nothing is read from */

static ssize_t map(struct target *t, uint64_t iova, uint64_t size)
{
	return t_msg(t, 0, UPDATE, iova, size, SOMEWHERE, 3);
}

static void owned(struct target *t)
{
	assert_int_equal(t_owner(t), 0);
	assert_int_equal(t_backend(t, ASID), 0);
}

static void both_versions(void **state) /* KI01, KI02 */
{
	struct target *t = *state;
	struct vhost_msg m = {.type = VHOST_IOTLB_MSG};
	uint32_t garbage = 0xffffffff;

	owned(t);
	assert_int_equal(map(t, 0x1000, 0x1000), 72);
	m.iotlb = (struct vhost_iotlb_msg){
		.iova = 0x2000, .size = 0x1000, .uaddr = SOMEWHERE, .perm = 3, .type = UPDATE};
	memcpy((uint8_t *)&m + 4, &garbage, 4); /* the gap */
	assert_int_equal(target_export.write(t->handle, &m, sizeof(m)), 72);
	/* Version 1 is address space 0, whatever stands in the gap. */
	assert_int_equal(map(t, 0x2000, 0x1000), -EFAULT);
}

static void lengths(void **state) /* KI03, KI04 */
{
	struct target *t = *state;
	struct vhost_msg_v2 m[2] = {{.type = VHOST_IOTLB_MSG_V2}};
	size_t short_one = target_export.over_fuse ? 40 : 72; /* no more than was written */

	owned(t);
	m[0].iotlb = (struct vhost_iotlb_msg){
		.iova = 0x1000, .size = 0x1000, .uaddr = SOMEWHERE, .perm = 3, .type = UPDATE};
	m[1] = m[0];
	m[1].iotlb.iova = 0x9000;
	assert_int_equal(target_export.write(t->handle, m, 3), -EINVAL);
	assert_int_equal(target_export.write(t->handle, m, 39), -EINVAL);
	assert_int_equal(target_export.write(t->handle, m, 40), short_one);
	m[0].iotlb.iova = 0x3000;
	assert_int_equal(target_export.write(t->handle, m, 71), target_export.over_fuse ? 71 : 72);
	m[0].iotlb.iova = 0x5000;
	assert_int_equal(target_export.write(t->handle, m, 144), 72); /* the first only */
	assert_int_equal(map(t, 0x9000, 0x1000), 72);
	m[0].type = 0;
	assert_int_equal(target_export.write(t->handle, m, 72), -EINVAL);
	m[0].type = 3;
	assert_int_equal(target_export.write(t->handle, m, 72), -EINVAL);
}

static void size_zero(void **state) /* KI05 */
{
	struct target *t = *state;

	assert_int_equal(map(t, 0x1000, 0), -EINVAL);
	assert_int_equal(map(t, 0x1000, 1), -EFAULT);
	owned(t);
	assert_int_equal(map(t, 0x1000, 0), -EINVAL);
}

static void overlaps(void **state) /* KI07, KI08, KI16 */
{
	struct target *t = *state;

	owned(t);
	assert_int_equal(map(t, 0x1000, 0x1000), 72);
	assert_int_equal(map(t, 0x1000, 0x1000), -EFAULT);
	assert_int_equal(map(t, 0x1fff, 1), -EFAULT);
	assert_int_equal(map(t, 0, 0x1001), -EFAULT);
	assert_int_equal(map(t, 0x2000, 1), 72);
	assert_int_equal(map(t, 0xfff, 1), 72);
	assert_int_equal(map(t, UINT64_MAX - 0xfff, 0x1000), 72);
	assert_int_equal(map(t, UINT64_MAX - 0x1fff, 0x3000), -EFAULT);
	assert_int_equal(t_msg(t, 0, UPDATE, 0x10000, 16, SOMEWHERE, 0), 72);
	assert_int_equal(t_msg(t, 0, UPDATE, 0x20000, 16, SOMEWHERE, 0xff), 72);
}

static void removals(void **state) /* KI09, KI10, KI11 */
{
	struct target *t = *state;

	owned(t);
	assert_int_equal(t_msg(t, 0, INVALIDATE, 0, 1, 0, 0), -EFAULT); /* asid never used */
	assert_int_equal(t_msg(t, 0, END, 0, 0, 0, 0), -EFAULT);
	assert_int_equal(map(t, 0x1000, 0x1000), 72);
	assert_int_equal(map(t, 0x2000, 0x1000), 72);
	assert_int_equal(t_msg(t, 0, INVALIDATE, 0x1800, 1, 0, 0), 72);
	assert_int_equal(map(t, 0x1000, 0x1000), 72); /* it went whole */
	assert_int_equal(map(t, 0x2000, 0x1000), -EFAULT);
	assert_int_equal(t_msg(t, 0, INVALIDATE, 0x5000, 9, 0, 0), 72);
	/* Size 0 at x: only what contains both x - 1 and x. */
	assert_int_equal(t_msg(t, 0, INVALIDATE, 0x2000, 0, 0, 0), 72);
	assert_int_equal(map(t, 0x2000, 0x1000), -EFAULT);
	assert_int_equal(t_msg(t, 0, INVALIDATE, 0x2800, 0, 0, 0), 72);
	assert_int_equal(map(t, 0x2000, 0x1000), 72);
	assert_int_equal(t_msg(t, 0, INVALIDATE, 0, 0, 0, 0), 72); /* everything */
	assert_int_equal(map(t, 0x1000, 0x2000), 72);
	assert_int_equal(t_msg(t, 0, INVALIDATE, 0, UINT64_MAX, 0, 0), 72);
	assert_int_equal(map(t, 0x1000, 0x2000), 72);
}

static void asids(void **state) /* KI12, KB06 */
{
	struct target *t = *state;

	assert_int_equal(t_owner(t), 0);
	/* Not acknowledged: every message is for address space 0. */
	assert_int_equal(t_msg(t, 1, UPDATE, 0x1000, 0x1000, SOMEWHERE, 3), 72);
	assert_int_equal(t_msg(t, 77, UPDATE, 0x1000, 0x1000, SOMEWHERE, 3), -EFAULT);
	assert_int_equal(t_backend(t, ASID), 0);
	assert_int_equal(t_msg(t, 1, UPDATE, 0x1000, 0x1000, SOMEWHERE, 3), 72);
	assert_int_equal(t_msg(t, 0, UPDATE, 0x1000, 0x1000, SOMEWHERE, 3), -EFAULT);
	assert_int_equal(t_msg(t, TEST_ASIDS, UPDATE, 0x1000, 0x1000, SOMEWHERE, 3), -EFAULT);
	assert_int_equal(t_msg(t, 0xffffffff, BEGIN, 0, 0, 0, 0), -EFAULT);
}

static void batches(void **state) /* KI13, KI14 */
{
	struct target *t = *state;

	owned(t);
	assert_int_equal(t_msg(t, 0, BEGIN, 0, 0, 0, 0), 72);
	assert_int_equal(t_msg(t, 0, BEGIN, 0, 0, 0, 0), 72);
	assert_int_equal(map(t, 0x1000, 0x1000), 72);
	assert_int_equal(t_msg(t, 1, UPDATE, 0x1000, 0x1000, SOMEWHERE, 3), -EFAULT);
	assert_int_equal(t_msg(t, 1, BEGIN, 0, 0, 0, 0), -EFAULT);
	assert_int_equal(t_msg(t, 0, END, 0, 0, 0, 0), 72);
	assert_int_equal(t_msg(t, 0, END, 0, 0, 0, 0), 72);
	/* The refused messages have made the space. */
	assert_int_equal(t_msg(t, 1, INVALIDATE, 0, 0, 0, 0), 72);
	/* A batch outlives status 0. */
	assert_int_equal(t_msg(t, 0, BEGIN, 0, 0, 0, 0), 72);
	assert_int_equal(t_status(t, 0), 0);
	assert_int_equal(t_msg(t, 1, UPDATE, 0x1000, 0x1000, SOMEWHERE, 3), -EFAULT);
}

static void other_kinds(void **state) /* KI15 */
{
	static const uint8_t kinds[] = {0, 1, 4, 7, 255};
	struct target *t = *state;

	owned(t);
	assert_int_equal(t_msg(t, 0, BEGIN, 0, 0, 0, 0), 72);
	for (size_t i = 0; i < sizeof(kinds); i++)
		assert_int_equal(t_msg(t, 0, kinds[i], 0, 1, 0, 0), -EFAULT);
}

static void limit(void **state) /* KI21 */
{
	struct target *t = *state;

	owned(t);
	for (unsigned i = 0; i < 2048; i++)
		assert_int_equal(map(t, 0x1000ull * ((i * 797) % 2048), 0x1000), 72);
	assert_int_equal(map(t, 0x1000 * 2048, 1), -EFAULT);
	assert_int_equal(t_msg(t, 0, INVALIDATE, 0, 1, 0, 0), 72);
	assert_int_equal(map(t, 0x1000 * 2048, 1), 72);
}

static void served(struct target *t, unsigned total)
{
	t_post(t, 0);
	t_kick(t, 0);
	assert_true(t_used(t, 0, total));
}

static void again(struct target *t)
{
	assert_int_equal(t_status(t, 0), 0);
	t_negotiate(t);
	t_rings(t);
	assert_int_equal(t_status(t, 0xf), 0);
}

static void persistent(void **state) /* KS37, with */
{
	struct target *t = *state;

	assert_int_equal(t_backend(t, PERSIST), 0);
	t_up(t);
	served(t, 1);
	again(t);
	served(t, 2);
}

static void forgotten(void **state) /* KS37, without; KI19 */
{
	struct target *t = *state;

	t_up(t);
	served(t, 1);
	again(t);
	t_post(t, 0);
	t_kick(t, 0);
	t_still(t, 0, 1); /* nothing is mapped */
	assert_int_equal(t_map_ram(t, 0), -EFAULT);
	assert_int_equal(t_msg(t, 0, INVALIDATE, t->ram.iova, 1, 0, 0), 72);
	assert_int_equal(t_map_ram(t, 0), 72);
	/* What the driver of a device that cannot reach its rings does. */
	again(t);
	assert_int_equal(t_msg(t, 0, INVALIDATE, 0, 0, 0, 0), 72);
	assert_int_equal(t_map_ram(t, 0), 72);
	t_kick(t, 0);
	assert_true(t_used(t, 0, 2));
}

static void revived(void **state) /* kernel-contract 2.5: a bare batch pushes the whole tree */
{
	struct target *t = *state;

	t_up(t);
	served(t, 1);
	assert_int_equal(t_status(t, 0), 0);
	t_negotiate(t);
	assert_int_equal(t_msg(t, 0, BEGIN, 0, 0, 0, 0), 72);
	assert_int_equal(t_msg(t, 0, END, 0, 0, 0, 0), 72);
	t_rings(t);
	assert_int_equal(t_status(t, 0xf), 0);
	served(t, 2);
}

static void spaces_are_separate(void **state) /* issue 3, item 2 */
{
	struct target *t = *state;

	assert_int_equal(t_backend(t, ASID), 0);
	t_negotiate(t);
	assert_int_equal(t_num(t, VHOST_VDPA_SET_GROUP_ASID, 1, 1), 0);
	assert_int_equal(t_map_ram(t, 1), 72);
	t_rings(t);
	assert_int_equal(t_status(t, 0xf), 0);
	t_post(t, 1);
	t_kick(t, 1);
	assert_true(t_used(t, 1, 1));
	t_post(t, 0);
	t_kick(t, 0);
	t_still(t, 0, 0); /* its own space is empty */
}

static void batch_shows_at_its_end(void **state)
{
	struct target *t = *state;

	t_negotiate(t);
	assert_int_equal(t_msg(t, 0, BEGIN, 0, 0, 0, 0), 72);
	assert_int_equal(t_map_ram(t, 0), 72);
	assert_int_equal(t_msg(t, 0, END, 0, 0, 0, 0), 72);
	t_rings(t);
	assert_int_equal(t_status(t, 0xf), 0);
	served(t, 1);
}

static void read_only_memory(void **state) /* KI22 */
{
	struct target *t = *state;

	t_negotiate(t);
	assert_int_equal(t_msg(t, 0, UPDATE, t->ram.iova, t->ram.size, (uintptr_t)t->ram.bytes,
			       VHOST_ACCESS_RO),
			 72);
	t_rings(t);
	assert_int_equal(t_status(t, 0xf), 0);
	t_post(t, 0);
	ram_freeze(&t->ram);
	t_kick(t, 0);
	t_still(t, 0, 0);
	assert_int_equal(ram_changed(&t->ram), -1);
}

TARGET_SETUP(disk)

int cases_iotlb(void)
{
	const struct CMUnitTest tests[] = {
		TARGET_TEST(both_versions, disk),
		TARGET_TEST(lengths, disk),
		TARGET_TEST(size_zero, disk),
		TARGET_TEST(overlaps, disk),
		TARGET_TEST(removals, disk),
		TARGET_TEST(asids, disk),
		TARGET_TEST(batches, disk),
		TARGET_TEST(other_kinds, disk),
		TARGET_TEST(limit, disk),
		TARGET_TEST(persistent, disk),
		TARGET_TEST(forgotten, disk),
		TARGET_TEST(revived, disk),
		TARGET_TEST(spaces_are_separate, disk),
		TARGET_TEST(batch_shows_at_its_end, disk),
		TARGET_TEST(read_only_memory, disk),
	};

	return cmocka_run_group_tests_name("iotlb", tests, NULL, NULL);
}
