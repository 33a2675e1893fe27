"""The Kafka side: topics, the transactional sink, the restore of its state, and a reader for people.

The one rule: only this package knows aiokafka. Its exceptions and types end here.
"""
