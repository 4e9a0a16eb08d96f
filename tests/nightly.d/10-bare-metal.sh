#!/usr/bin/env bash
# What is decided on the device must also build where there is no operating system.
exec cross/build.sh thumbv7em-none-eabihf riscv32imac-unknown-none-elf
