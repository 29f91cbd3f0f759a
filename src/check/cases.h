/* The groups' tables of cases. */
#ifndef UVDPA_CHECK_CASES_H
#define UVDPA_CHECK_CASES_H

#include "check/case.h"

extern const struct check_case uapi_cases[];
extern const size_t uapi_case_count;
extern const struct check_case status_cases[];
extern const size_t status_case_count;
extern const struct check_case queue_cases[];
extern const size_t queue_case_count;
extern const struct check_case iotlb_cases[];
extern const size_t iotlb_case_count;
extern const struct check_case ring_cases[];
extern const size_t ring_case_count;
extern const struct check_case suspend_cases[];
extern const size_t suspend_case_count;
extern const struct check_case linux_cases[];
extern const size_t linux_case_count;
extern const struct check_case exchange_cases[];
extern const size_t exchange_case_count;
extern const struct check_case race_cases[];
extern const size_t race_case_count;
extern const struct check_case resume_cases[];
extern const size_t resume_case_count;
extern const struct check_case restore_cases[];
extern const size_t restore_case_count;
extern const struct check_case config_cases[];
extern const size_t config_case_count;
extern const struct check_case packed_cases[];
extern const size_t packed_case_count;
extern const struct check_case peers_cases[];
extern const size_t peers_case_count;
extern const struct check_case user_cases[];
extern const size_t user_case_count;
extern const struct check_case hold_cases[];
extern const size_t hold_case_count;
extern const struct check_case blk_cases[];
extern const size_t blk_case_count;
extern const struct check_case net_cases[];
extern const size_t net_case_count;
extern const struct check_case net_control_cases[];
extern const size_t net_control_case_count;

/* Ends a table's file: its count. */
#define CASE_COUNT(table) \
	const size_t table##_case_count = sizeof(table##_cases) / sizeof(table##_cases[0])

#endif
