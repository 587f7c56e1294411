package scrub

import (
	"fmt"
	"slices"
	"strings"
)

// maxCodings is how many codings one body may be in. Two are met in the wild: a server's and its proxy's.
const maxCodings = 2

// Plain tells whether a Content-Encoding header names nothing that a body would have to be decoded from. Beside
// identity and empty list members that is whatever names no coding: a charset (UTF-8), a transfer encoding of mail
// (binary, 8bit), none, null, S3's aws-chunked, which is off a body again by the time that it is read. Clients take
// such a body as it is, and so it is searched as it is.
func Plain(contentEncoding string) bool {
	names, err := codings(contentEncoding)
	return err == nil && len(names) == 0
}

// codings lists what a body has to be decoded from, in the order in which it was put on. The error is ErrUnknownCoding.
func codings(contentEncoding string) (names []string, err error) {
	for member := range strings.SplitSeq(contentEncoding, ",") {
		name := strings.ToLower(strings.Trim(member, " \t"))
		if codingOf(name) != nil {
			names = append(names, name)
			continue
		}
		if isWord := func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
		}; slices.ContainsFunc(strings.FieldsFunc(name, isWord), hides) {
			return nil, fmt.Errorf("%w %.40q", ErrUnknownCoding, contentEncoding)
		}
	}
	if len(names) > maxCodings {
		return nil, fmt.Errorf("%w %.40q: too many", ErrUnknownCoding, contentEncoding)
	}
	return names, nil
}

// hides tells whether a word is a coding behind which a secret is not seen: those of IANA's registry, those that were
// or are in use without standing there, and one of ours in a spelling that some client may understand (gzip;q=1).
func hides(word string) bool {
	switch word {
	case "aes128gcm", "compress", "x-compress", "dcb", "dcz", "exi", "pack200-gzip", // registered
		"brotli", "x-br", "x-deflate", "x-zstd", "zlib", "x-zlib", "zip", "x-zip", "zstandard", "gz", "x-gz",
		"aesgcm", "aesgcm128", "bzip", "bzip2", "x-bzip", "x-bzip2", "bz2", "lz4", "lzma", "x-lzma",
		"lzo", "lzw", "pack200", "peerdist", "sdch", "snappy", "x-snappy", "x-snappy-framed", "xz", "x-xz":
		return true
	}
	return codingOf(word) != nil
}
