#!/bin/sh
cp "$1" out/part-1.txt
cp "$1" out/part-2.txt
