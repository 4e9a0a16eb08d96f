#!/usr/bin/env bash
# The programs as they are shipped, for every processor with a size budget.
exec cross/build.sh
