package app

import (
	"os"
	"slices"
	"strconv"

	"sallyport/internal/config"
)

// filesInForce are the files that a reload reads: the configuration's own, and those of its stores, such as a client
// certificate that is replaced before it ends.
func filesInForce(c *config.Config) []string { return append(c.Files(), storeFiles(c)...) }

// filesOf are those that a store reads once, when it is opened. Tokens and their like are read each time.
func filesOf(c *config.Store) []string {
	return slices.DeleteFunc(c.Settings.Files(), func(name string) bool { return name == "" })
}

func storeFiles(c *config.Config) (list []string) {
	for _, one := range c.Stores {
		list = append(list, filesOf(one)...)
	}
	return list
}

// stamps tells by file what is different when a file is.
func stamps(files []string) map[string]string {
	m := make(map[string]string, len(files))
	for _, f := range files {
		m[f] = "gone"
		if info, err := os.Stat(f); err == nil {
			m[f] = strconv.FormatInt(info.Size(), 10) + " " + strconv.FormatInt(info.ModTime().UnixNano(), 10) +
				" " + identity(info)
		}
	}
	return m
}
