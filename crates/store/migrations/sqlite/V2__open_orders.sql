-- Open orders by where they stand: what waits longest, and how many wait where, without a look at those that are
-- through. It holds open orders only, so it stays small and in memory.
CREATE INDEX record_open ON record (flow, milestone, created_at, number) WHERE counted = 1;
UPDATE meta SET value = 2 WHERE name = 'schema';
