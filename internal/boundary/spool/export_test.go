package spool

import "os"

// FillDisk makes b keep what memory does not take in a file of a disk that is full.
func FillDisk(b *Body) {
	file, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	b.store.file = file
}
