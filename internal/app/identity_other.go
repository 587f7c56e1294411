//go:build !unix

package app

import "os"

func identity(os.FileInfo) string { return "" }
