-- There is no way back from the first migration: drop the database.
SELECT 1;
