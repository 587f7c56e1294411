package assemble

import (
	"fmt"

	"sallyport/internal/boundary/credential/sign"
	"sallyport/internal/config"
)

// signer makes the Signer of a credential that signs.
func signer(c *config.Credential, of *Secrets) (sign.Signer, error) {
	in := of.Reader()
	switch c.Kind {
	case config.KindSigV4:
		o := sign.SigV4Options{
			AccessKey: in.Plain(c.AccessKey), HideAccessKey: len(c.AccessKey.Refs()) > 0, SecretKey: in.Value(c.SecretKey),
			SessionToken: in.Value(c.SessionToken), Region: c.Region, Service: c.Service, UnsignedLarge: c.UnsignedLarge,
		}
		return built(&in, func() (sign.Signer, error) { return sign.NewSigV4(o) })
	case config.KindHMAC:
		o := sign.HMACOptions{
			Secret: in.Value(c.Secret), SecretEncoding: c.SecretEncoding, Algorithm: c.Algorithm, Encoding: c.Encoding,
			Message: c.Message, Header: c.Header, Param: c.Param, Format: c.Format, Headers: c.SignedHeaders,
		}
		return built(&in, func() (sign.Signer, error) { return sign.NewHMAC(o) })
	case config.KindOAuth1:
		o := sign.OAuth1Options{
			ConsumerKey: in.Plain(c.ConsumerKey), HideConsumerKey: len(c.ConsumerKey.Refs()) > 0, ConsumerSecret: in.Value(c.ConsumerSecret),
			Token: in.Value(c.AccessToken), TokenSecret: in.Value(c.TokenSecret), Method: c.SignatureMethod, Realm: c.Realm,
		}
		return built(&in, func() (sign.Signer, error) { return sign.NewOAuth1(o) })
	case config.KindDigest:
		o := sign.DigestOptions{Username: c.Username, Secret: in.Value(c.Secret)}
		if !c.UsernameSecret.IsZero() {
			o.Username, o.HideUser = string(in.Value(c.UsernameSecret).Reveal()), true
		}
		return built(&in, func() (sign.Signer, error) { return sign.NewDigest(o) })
	}
	return nil, fmt.Errorf("credentials of kind %q do not sign", c.Kind)
}
