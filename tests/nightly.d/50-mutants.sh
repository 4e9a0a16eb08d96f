#!/usr/bin/env bash
# Every simulation is worth what it finds: the product broken on purpose, one change at a time.
exec tests/run mutants
