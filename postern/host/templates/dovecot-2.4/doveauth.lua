-- Dovecot's passdb and userdb: each question goes to doveauth, over HTTP on its unix socket.
-- Only doveauth's own words make a user unknown; whatever else comes, or does not come, is a
-- temporary failure, so that no client ever hears of a wrong password that is right.

local doveauth

function script_init(settings)
  doveauth = dovecot.http.client({
    proxy_socket_path = settings.socket,
    request_timeout = "10s",
    request_absolute_timeout = "15s",
    request_max_attempts = "2",
  })
  return 0
end

local function form(fields)
  local parts = {}
  for name, value in pairs(fields) do
    local encoded = value:gsub("[^%w]", function(octet)
      return string.format("%%%02X", octet:byte())
    end)
    parts[#parts + 1] = name .. "=" .. encoded
  end
  return table.concat(parts, "&")
end

local function ask(method, path, fields)
  local request = doveauth:request({ url = "http://doveauth" .. path, method = method })
  if fields then
    request:set_payload(form(fields))
  end
  local answer = request:submit()
  return answer:status(), answer:payload()
end

-- The fields of an answer, nil where there is no such user; anything else is an error.
local function lookup(path, fields)
  local status, body = ask("POST", path, fields)
  if status == 404 then
    return nil
  end
  if status ~= 200 then
    error("doveauth does not answer now: HTTP status " .. status, 0)
  end
  local result = {}
  for name, value in body:gmatch("(%w+)=([^\n]*)\n") do
    result[name] = value
  end
  return result
end

function auth_password_verify(request, password)
  local ok, found = pcall(lookup, "/passdb", {
    username = request.user,
    password = password,
    remote = request.remote_ip or "",
  })
  if not ok then
    return dovecot.auth.PASSDB_RESULT_INTERNAL_FAILURE, tostring(found)
  end
  if not found then
    return dovecot.auth.PASSDB_RESULT_USER_UNKNOWN
  end
  local hash = found.password
  if hash:sub(1, 1) ~= "{" then
    -- Without a scheme Dovecot would take it for the password itself.
    hash = "{SHA512-CRYPT}" .. hash
  end
  local verified = request:password_verify(hash, password)
  if verified == 0 then
    return dovecot.auth.PASSDB_RESULT_PASSWORD_MISMATCH
  elseif verified ~= 1 then
    return dovecot.auth.PASSDB_RESULT_INTERNAL_FAILURE, "the stored hash cannot be read"
  end
  return dovecot.auth.PASSDB_RESULT_OK, {}
end

function auth_userdb_lookup(request)
  local ok, found = pcall(lookup, "/userdb", { username = request.user })
  if not ok then
    return dovecot.auth.USERDB_RESULT_INTERNAL_FAILURE, tostring(found)
  end
  if not found then
    return dovecot.auth.USERDB_RESULT_USER_UNKNOWN
  end
  return dovecot.auth.USERDB_RESULT_OK, { home = found.home, uid = found.uid, gid = found.gid }
end

function auth_userdb_iterate()
  local status, body = ask("GET", "/users")
  if status ~= 200 then
    error("doveauth does not answer now: HTTP status " .. status, 0)
  end
  local names = {}
  for name in body:gmatch("[^\n]+") do
    names[#names + 1] = name
  end
  return names
end
