package derive

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// parseKey reads a private key in PEM. Keys come out of JSON files and environment variables with line breaks that are
// still written as \n: those are taken for what they mean.
func parseKey(text []byte) (crypto.Signer, error) {
	if !bytes.ContainsRune(bytes.TrimSpace(text), '\n') {
		text = bytes.ReplaceAll(text, []byte(`\r`), nil)
		text = bytes.ReplaceAll(text, []byte(`\n`), []byte("\n"))
	}
	text = bytes.TrimSpace(text)
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil,
				errors.New("the key is not in PEM: it has to begin with -----BEGIN … PRIVATE KEY----- and to be whole")
		}
		if block.Type != "EC PARAMETERS" { // openssl writes them before an EC key, which names its curve itself
			return parseBlock(block)
		}
		text = rest
	}
}

func parseBlock(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch {
	case block.Type == "ENCRYPTED PRIVATE KEY", block.Headers["DEK-Info"] != "":
		return nil,
			errors.New("the key is encrypted with a passphrase: keep it without one in the store, which encrypts it " +
				"anyway")
	case block.Type == "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case block.Type == "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case block.Type == "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case block.Type == "OPENSSH PRIVATE KEY":
		return nil, errors.New("the key is in OpenSSH's own format: ssh-keygen -p -m PKCS8 -f FILE converts it")
	case block.Type == "CERTIFICATE", block.Type == "PUBLIC KEY", block.Type == "RSA PUBLIC KEY":
		return nil, fmt.Errorf("the key is a %s block; what signs is the private key", block.Type)
	default:
		return nil, errors.New("the key is a PEM block of a type that is no private key")
	}
	if err != nil {
		return nil, fmt.Errorf("the key's PEM block %q does not hold such a key", block.Type)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key is of a kind that cannot sign")
	}
	return signer, nil
}
