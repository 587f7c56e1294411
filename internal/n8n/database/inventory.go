package database

// Inventory returns every place where n8n keeps values under its master key, or under a data key that the master key
// wraps. deployment_key is not among them: its rows have an API of their own (Tx.DeploymentKeys).
//
// Sources are paths below n8n/dist of 2.41.1, those that begin with another package's name apart. 1.x has the same
// files elsewhere. Not in the database: the cookies and cached entries of OIDC, OAuth and Slack (short-lived), export
// files, and the data of executions that n8n keeps in files or object storage (DB.Plaintext counts those).
func Inventory() []Location {
	locations := []Location{
		{
			Table: "credentials_entity", Column: "data", Key: []string{"id"}, Layout: Whole, Plain: PlainObject,
			Since: "1.x", WrittenBy: "n8n-core: credentials.js",
		},
		{
			Table: "user", Column: "mfaSecret", Key: []string{"id"}, Layout: Whole, Plain: PlainText,
			Since: "1.x", WrittenBy: "mfa/mfa.service.js",
		},
		{
			Table: "user", Column: "mfaRecoveryCodes", Key: []string{"id"}, Layout: List, Plain: PlainText,
			Since: "1.x", WrittenBy: "mfa/mfa.service.js",
		},
	}
	locations = append(locations, settings()...)
	return append(locations,
		Location{
			Table: "secrets_provider_connection", Column: "encryptedSettings", Key: []string{"id"}, Layout: Whole,
			Plain: PlainObject,
			Since: "2.x", WrittenBy: "modules/external-secrets.ee/secrets-providers-connections.service.ee.js",
		},
		Location{
			Table: "dynamic_credential_resolver", Column: "config", Key: []string{"id"}, Layout: Whole,
			Plain: PlainObject,
			Since: "2.x", WrittenBy: "modules/dynamic-credentials.ee/services/credential-resolver.service.js",
		},
		Location{
			Table: "dynamic_credential_entry", Column: "data",
			Key: []string{"credential_id", "subject_id", "resolver_id"}, Layout: Whole,
			Plain: PlainObject, Since: "2.x",
			WrittenBy: "modules/dynamic-credentials.ee/credential-resolvers/oauth-credential-resolver.js",
		},
		Location{
			Table: "dynamic_credential_user_entry", Column: "data", Key: []string{
				"credentialId", "userId",
				"resolverId",
			}, Layout: Whole,
			Plain: PlainObject, Since: "2.x",
			WrittenBy: "modules/dynamic-credentials.ee/credential-resolvers/n8n-credential-resolver.js",
		},
		Location{
			Table: "promotion_provider", Column: "auth", Key: []string{"id"}, Layout: Whole, Plain: PlainObject,
			Since: "2.x", WrittenBy: "modules/promotions.ee/promotion-providers.service.js",
		},
		executions(),
	)
}

// settings are the rows of settings that hold a secret. Tokens of the source are n8n's own names of the keys.
func settings() []Location {
	row := func(key string, layout Layout, plain Plain, since, source string, paths ...string) Location {
		return Location{
			Table: "settings", Column: "value", Key: []string{"key"}, Setting: key, Layout: layout,
			Paths: paths, Plain: plain,
			Since: since, WrittenBy: source,
		}
	}
	const sourceControl = "modules/source-control.ee/source-control-preferences.service.ee.js"
	return []Location{
		row("features.ldap", Object, PlainText, "1.x", "modules/ldap.ee/ldap.service.ee.js", "bindingAdminPassword"),
		row("features.saml", Object, PlainText, "2.x", "modules/sso-saml/saml.service.ee.js", "signingPrivateKey"),
		row("features.oidc", Object, PlainText, "1.x", "modules/sso-oidc/oidc.service.ee.js", "clientSecret"),
		row("features.sourceControl.sshKeys", Object, PlainText, "1.x", sourceControl, "encryptedPrivateKey"),
		row("features.sourceControl.httpsCredentials", Object, PlainText, "1.x", sourceControl, "encryptedUsername",
			"encryptedPassword"),
		row("feature.externalSecrets", Whole, PlainObject, "1.x",
			"modules/external-secrets.ee/settings-store.service.js"),
		row("credentialsOverwrite", Whole, PlainObject, "1.x", "credentials-overwrites.js"),
	}
}

// executions are the contexts of executions: who runs it, for credentials that depend on that. A context is copied into
// its sub-executions and into what an error workflow is handed, so it is known by its own keys wherever it stands. The
// metadata of a chat lie in the item that begins its execution.
func executions() Location {
	return Location{
		Table: "execution_data", Column: "data", Key: []string{"executionId"}, Layout: Flatted,
		Paths: []string{"executionData.runtimeData.credentials", "executionData.runtimeData.secureArtifacts"},
		Anywhere: []AnyKey{
			{Key: "credentials", Beside: "establishedAt"},
			{Key: "secureArtifacts", Beside: "establishedAt"},
			{Key: "encryptedMetadata"},
		},
		Plain: PlainObject, Since: "1.x",
		WrittenBy: "n8n-core: execution-engine/execution-context.service.js; " +
			"modules/chat-hub/chat-hub-workflow.service.js",
	}
}
