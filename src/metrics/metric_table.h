/* X(id, name, type, "label,label", help). docs/metrics.md is generated from it. The first block is
 * the reference's, the second ours. Types: COUNTER GAUGE HISTOGRAM (buckets in ms). */
#pragma once

#define METRIC_TABLE(X)                                                                            \
	X(task_num, "milvus_cdc_task_num", GAUGE, "task_state", "Tasks by state")                  \
	X(task_state, "milvus_cdc_task_state", GAUGE, "task_id",                                   \
		"State of a task: 0 Initial, 1 Running, 2 Paused")                                 \
	X(request_total, "milvus_cdc_request_total", COUNTER, "request_type,request_status",       \
		"API requests by type and outcome")                                                \
	X(request_latency, "milvus_cdc_request_latency", HISTOGRAM, "request_type",                \
		"Time of successful API requests in ms")                                           \
	X(replicate_tt, "milvus_cdc_replicate_tt", GAUGE, "task_id,vchannel_name,op_type",         \
		"Source time (ms since the epoch) up to which a channel was read or written")      \
	X(replicate_data_size, "milvus_cdc_replicate_data_size", COUNTER,                          \
		"task_id,vchannel_name,op_type,msg_type", "Bytes of messages read or written")     \
	X(replicate_data_cnt, "milvus_cdc_replicate_data_cnt", COUNTER,                            \
		"task_id,collection_id,collection_name,op_type,api_type",                          \
		"Rows of inserts and deletes read or written")                                     \
	X(api_execute_total, "milvus_cdc_api_execute_total", COUNTER, "task_id,api_type",          \
		"Operations executed on the target")                                               \
	X(center_tt, "milvus_cdc_center_tt", GAUGE, "channel_name",                                \
		"Last time tick sent to a target channel, ms since the epoch")                     \
	X(lag_ms, "milvus_cdc_lag_milliseconds", GAUGE, "task_id",                                 \
		"Age of the source time up to which the task's target is equal; 0 when the "       \
		"source is "                                                                       \
		"still and all of it is there; grows during an outage and a pause; missing while " \
		"not all collections of the task have started")                                    \
	X(catch_up, "milvus_cdc_catch_up_seconds", GAUGE, "task_id",                               \
		"Until the task has caught up, at the pace of the last minute; 0 it keeps up, -1 " \
		"the lag "                                                                         \
		"does not shrink")                                                                 \
	X(log_expires, "milvus_cdc_source_log_expires_seconds", GAUGE, "task_id",                  \
		"Until the source's queue deletes what the task reads next, if it stood still "    \
		"from now "                                                                        \
		"on; missing where the queue does not tell its retention")                         \
	X(rows_behind, "milvus_cdc_rows_behind", GAUGE, "task_id",                                 \
		"Rows read from the source and not written yet")                                   \
	X(bytes_behind, "milvus_cdc_bytes_behind", GAUGE, "task_id",                               \
		"Bytes read from the source and not written yet")                                  \
	X(task_waits, "milvus_cdc_task_waits", GAUGE, "task_id",                                   \
		"1: the task waits for something, which its waits_for names")                      \
	X(collections, "milvus_cdc_collections", GAUGE, "task_id,collection_state",                \
		"Collections of a task by state")                                                  \
	X(late_rows, "milvus_cdc_late_rows_total", COUNTER, "task_id",                             \
		"Rows that got a new timestamp because their stream was late")                     \
	X(skipped_ops, "milvus_cdc_skipped_operations_total", COUNTER, "task_id,api_type",         \
		"Operations that could not be replicated and were skipped")                        \
	X(skipped_rows, "milvus_cdc_skipped_rows_total", COUNTER, "task_id,reason",                \
		"Rows not replicated. reason dropped: their partition or collection was; "         \
		"replicated: they came to the source from here (same replicateID)")                \
	X(verify_rows, "milvus_cdc_verify_rows_total", COUNTER, "task_id",                         \
		"Rows that the rolling check found equal on source and target")                    \
	X(verify_different, "milvus_cdc_verify_different", GAUGE, "task_id",                       \
		"Differences between source and target that the last rolling check found, or the " \
		"present one so far")                                                              \
	X(verify_unknown, "milvus_cdc_verify_unknown_collections", GAUGE, "task_id",               \
		"Collections that the last rolling check could not compare")                       \
	X(verify_identical, "milvus_cdc_verify_identical_seconds", GAUGE, "task_id",               \
		"Source time, seconds since the epoch, up to which the last rolling check that "   \
		"found all equal says so")                                                         \
	X(retries, "milvus_cdc_retries_total", COUNTER, "task_id,error",                           \
		"Calls repeated after an error")                                                   \
	X(calls, "milvus_cdc_target_calls_total", COUNTER, "channel_name",                         \
		"ReplicateMessage calls")                                                          \
	X(call_bytes, "milvus_cdc_target_bytes_total", COUNTER, "channel_name",                    \
		"Bytes sent in ReplicateMessage calls")                                            \
	X(replayed_msgs, "milvus_cdc_replayed_messages_total", COUNTER, "channel_name",            \
		"Messages sent again after a call of unknown fate")                                \
	X(replayed_rows, "milvus_cdc_replayed_rows_total", COUNTER, "task_id",                     \
		"Inserted rows sent again after a stop that was not clean")                        \
	X(bound_waits, "milvus_cdc_rows_wait_for_metastore", GAUGE, "channel_name",                \
		"1 while rows of a target channel wait for the metastore: how far they may be "    \
		"sent must be durable first")                                                      \
	X(keepalive_ticks, "milvus_cdc_keepalive_ticks_total", COUNTER, "channel_name",            \
		"Ticks made from the target's clock because no source moved")                      \
	X(memory_bytes, "milvus_cdc_held_bytes", GAUGE, "",                                        \
		"Messages held between broker and ack")                                            \
	X(readers, "milvus_cdc_readers", GAUGE, "", "Open readers of source channels")             \
	X(store_writes, "milvus_cdc_store_writes_total", COUNTER, "result",                        \
		"Batches written to the metastore")
