/* virtio-blk: feature bits and config space (virtio 1.3, 5.2.3 and 5.2.4). */
#include "model/blk_internal.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <string.h>

#include "util/bytes.h"

/* The longest segment: nothing here depends on it, so it is as drivers like it. */
#define SEGMENT_BYTES (1u << 20)

static_assert(sizeof(struct virtio_blk_config) <= BLK_CONFIG_SIZE, "the config space holds all");

#define BIT(n)	  (1ull << (n))
#define AT(field) (config + offsetof(struct virtio_blk_config, field))

uint64_t blk_features(struct model *model)
{
	const struct block_limits *limits = &blk_of(model)->block->limits;
	uint64_t features = BIT(VIRTIO_BLK_F_SIZE_MAX) | BIT(VIRTIO_BLK_F_SEG_MAX) |
			    BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_FLUSH) |
			    BIT(VIRTIO_BLK_F_TOPOLOGY) | BIT(VIRTIO_BLK_F_CONFIG_WCE) |
			    BIT(VIRTIO_BLK_F_MQ);

	if (limits->read_only)
		return features | BIT(VIRTIO_BLK_F_RO);
	if (limits->discard)
		features |= BIT(VIRTIO_BLK_F_DISCARD);
	if (limits->write_zeroes)
		features |= BIT(VIRTIO_BLK_F_WRITE_ZEROES);
	return features;
}

static unsigned exponent(uint32_t n)
{
	return n ? (unsigned)__builtin_ctz(n) : 0;
}

/* In logical blocks (virtio 1.3, 5.2.4). */
static void topology(const struct block_limits *limits, uint8_t *config)
{
	uint32_t minimum = limits->physical_size / limits->block_size;

	*AT(physical_block_exp) = (uint8_t)exponent(minimum);
	store_le16(AT(min_io_size), minimum > UINT16_MAX ? UINT16_MAX : (uint16_t)minimum);
	store_le32(AT(opt_io_size), limits->optimal_io / limits->block_size);
}

/* A driver need not have negotiated a feature to find its fields filled. */
void blk_config_read(struct model *model, uint8_t *config)
{
	const struct blk *blk = blk_of(model);
	const struct block_limits *limits = &blk->block->limits;
	uint64_t features = blk_features(model);

	memset(config, 0, BLK_CONFIG_SIZE);
	store_le64(AT(capacity), limits->size / BLK_SECTOR);
	store_le32(AT(size_max), SEGMENT_BYTES);
	store_le32(AT(seg_max), blk->seg_max);
	store_le32(AT(blk_size), limits->block_size);
	topology(limits, config);
	*AT(wce) = blk->writeback;
	store_le16(AT(num_queues), (uint16_t)blk->queue_count);
	if (features & BIT(VIRTIO_BLK_F_DISCARD)) {
		store_le32(AT(max_discard_sectors), BLK_DISCARD_SECTORS);
		store_le32(AT(max_discard_seg), BLK_MAX_RANGES);
		store_le32(AT(discard_sector_alignment), limits->physical_size / BLK_SECTOR);
	}
	if (features & BIT(VIRTIO_BLK_F_WRITE_ZEROES)) {
		store_le32(AT(max_write_zeroes_sectors), BLK_WRITE_ZEROES_SECTORS);
		store_le32(AT(max_write_zeroes_seg), BLK_MAX_RANGES);
		*AT(write_zeroes_may_unmap) = 1;
	}
}

/* Only `writeback` is the driver's to write, and only with CONFIG_WCE (virtio 1.3, 5.2.5.1). */
bool blk_config_writable(const struct model *model, uint64_t features, size_t offset)
{
	return features & BIT(VIRTIO_BLK_F_CONFIG_WCE) &&
	       offset == offsetof(struct virtio_blk_config, wce);
}

void blk_config_write(struct model *model, size_t offset, const uint8_t *bytes, size_t size)
{
	const size_t at = offsetof(struct virtio_blk_config, wce);

	if (offset <= at && size > at - offset)
		blk_of(model)->writeback = bytes[at - offset] != 0;
}

/* --- Saved state: u64 size of the disk in bytes, u8 writeback --------------------------------- */

#define STATE_SIZE 9u

size_t blk_state_save(struct model *model, uint8_t *bytes)
{
	const struct blk *blk = blk_of(model);

	static_assert(STATE_SIZE <= MODEL_STATE_MAX, "it fits");
	store_le64(bytes, blk->block->limits.size);
	bytes[8] = blk->writeback;
	return STATE_SIZE;
}

/* Another size is another disk, or one that was resized behind the driver's back. */
int blk_state_check(struct model *model, const uint8_t *bytes, size_t size, struct error *f)
{
	uint64_t have = blk_of(model)->block->limits.size;

	if (size != STATE_SIZE || bytes[8] > 1)
		return error_set(f, -EINVAL, "the saved state of the disk is malformed");
	if (load_le64(bytes) != have)
		return error_set(f, -EINVAL,
				 "the saved disk has %llu bytes, this one %llu: is it the same?",
				 (unsigned long long)load_le64(bytes), (unsigned long long)have);
	return 0;
}

void blk_state_load(struct model *model, const uint8_t *bytes, size_t size)
{
	blk_of(model)->writeback = bytes[8];
}
