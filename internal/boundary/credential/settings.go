package credential

import (
	"strings"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/boundary/credential/sign"
	"sallyport/internal/config"
	"sallyport/internal/secret"
)

// Settings are what the settings of a kind (config.CredentialSettings) have for this wing. Each implements Building or
// Minting too.
type Settings interface {
	config.CredentialSettings
	// Spec is where the secret, the token or the signature goes.
	Spec() Spec
}

// Beside are the settings of a kind that sets headers beside its Slot, such as the time that is signed.
type Beside interface {
	// Headers are their names. Of the caller none of them counts, nor one that looks like it.
	Headers() []string
}

// Building are the settings of a kind that needs no call before a request: its secret goes onto the request, or it
// signs.
type Building interface {
	Settings
	// Build fills in p's Value or Signer; p.Spec is Spec's. The error says what is wrong and quotes no secret.
	Build(in *Reader, p *Part) error
}

// Minting are the settings of a kind that obtains a token.
type Minting interface {
	Settings
	// Minter makes what obtains the token. The error says what is wrong and quotes no secret.
	Minter(m *Mint) (derive.Minter, error)
	// Expires is how the API says that the token has expired; nil is status 401.
	Expires() *ExpiredWhen
}

// Consenting are settings for which a person gives consent (service connect).
type Consenting interface {
	Minting
	// HasPage tells whether there is a page of consent.
	HasPage() bool
	// Consent is what the page of consent is opened with. The error says what is wrong and quotes no secret.
	Consent(m *Mint) (Consent, error)
}

// Consent is a provider's page of consent, and what the code that it gives is exchanged with.
type Consent struct {
	AuthorizeURL string
	Issuer       string
	Params       map[string]string
	WithoutPKCE  bool
	For          *derive.RefreshToken
}

// Static is embedded by kinds that have a secret.
type Static struct {
	Secret secret.Ref `yaml:"secret" needed:"write secret: ref+builtin://NAME" eg:"ref+builtin://example#api_key" doc:"The secret, by reference; never the secret itself."`
}

// Class implements config.CredentialSettings.
func (*Static) Class() config.Class { return config.Static }

// Check implements config.CredentialSettings.
func (*Static) Check(*config.CredentialReport) {}

// Build implements Building: the secret itself goes onto the request.
func (s *Static) Build(in *Reader, p *Part) error {
	p.Value = in.Value(s.Secret)
	return in.Err
}

// Signed is embedded by kinds that sign.
type Signed struct{}

// Class implements config.CredentialSettings.
func (*Signed) Class() config.Class { return config.Signing }

// User is embedded by kinds with a user beside the secret.
type User struct {
	Username       string     `yaml:"username" yields:"username_secret user_pass" eg:"api" doc:"The user, where it is not secret. The secret is the password."`
	UsernameSecret secret.Ref `yaml:"username_secret" eg:"ref+builtin://twilio#sid" doc:"The user by reference, instead of username."`
}

// CheckUser wants one user, in one of the two ways. There is none where it stands elsewhere.
func (u *User) CheckUser(r *config.CredentialReport, elsewhere bool) {
	switch {
	case u.Username != "" && !u.UsernameSecret.IsZero():
		r.Fail("username", "stands beside username_secret", "keep one")
	case strings.Contains(u.Username, ":"):
		r.Fail("username", "has a colon, which "+r.Kind+" authentication cannot carry (RFC 7617)", "")
	case u.Username == "" && u.UsernameSecret.IsZero() && !elsewhere:
		hint := "write username: NAME, or username_secret: ref+…"
		if needs := r.UsernameNeeds(); needs != "" {
			hint = "write credential: {username: …}: " + needs
		}
		r.Missing("has a credential of kind "+r.Kind+" without a user", hint)
	}
}

// Name is the user's name, and whether it must not come back.
func (u *User) Name(in *Reader) (name string, hide bool) {
	if u.UsernameSecret.IsZero() {
		return u.Username, false
	}
	return string(in.Value(u.UsernameSecret).Reveal()), true
}

// Place is the slot in the configuration's words. The header has the letters that it is written in.
func (s Spec) Place() config.Slot {
	switch slot := s.Slot(); {
	case s.Kind == KindBody:
		return config.Slot{Pointer: s.Pointer}
	case slot.Header != "" && s.Header != "":
		return config.Slot{Header: s.Header}
	default:
		return config.Slot{Header: slot.Header, Param: slot.Param, Cookie: slot.Cookie, Path: slot.Path != ""}
	}
}

// Signer puts what makes a Signer into p, if everything could be read.
func Signer[S sign.Signer](in *Reader, p *Part, build func() (S, error)) error {
	if in.Err != nil {
		return in.Err
	}
	signer, err := build()
	if err != nil {
		return err
	}
	p.Signer = signer
	return nil
}
