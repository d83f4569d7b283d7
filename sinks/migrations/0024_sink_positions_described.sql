ALTER TABLE {database}.sink_positions
    COMMENT COLUMN topic 'A topic that the sink reads.',
    COMMENT COLUMN partition 'Number of the partition in that topic, from 0.'
