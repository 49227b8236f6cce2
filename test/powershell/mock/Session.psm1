# What stands between node-powershell and the true dispatcher here: New-PSSession, which opens a second PowerShell in this process, as a host would elsewhere.
Set-StrictMode -Version 3.0
[void][Reflection.Assembly]::LoadFrom((Join-Path $env:WARMSITE_MOCK_MODULES 'Twin.dll'))
Import-Module -Name $env:WARMSITE_MOCK_DISPATCHER -Global

function global:New-PSSession {
    [CmdletBinding()] param(
        [Parameter(Mandatory = $true)][string]$ComputerName, [switch]$UseSSL, [pscredential]$Credential, [string]$ConfigurationName, [string]$CertificateThumbprint
    )
    $username = if ($Credential) { $Credential.UserName } else { $null }
    $password = if ($Credential) { $Credential.GetNetworkCredential().Password } else { $null }
    $answer = [Warmsite.Mock.Twin]::Connect($env:WARMSITE_MOCK_SOCKET, $ComputerName, $username, $password)
    if ($answer['refused']) {
        $exception = New-Object Management.Automation.Remoting.PSRemotingTransportException ([string]$answer['refused'])
        $PSCmdlet.ThrowTerminatingError((New-Object Management.Automation.ErrorRecord $exception, "$($answer['id']),PSSessionOpenFailed", 'OpenError', $ComputerName))
    }
    $env:PSModulePath = @($answer['modules'] | ForEach-Object { Join-Path $env:WARMSITE_MOCK_MODULES ([string]$_) }) -join [IO.Path]::PathSeparator
    $runspace = [runspacefactory]::CreateRunspace([initialsessionstate]::CreateDefault2())
    $runspace.ThreadOptions = 'ReuseThread'
    $runspace.Open()
    $shell = [powershell]::Create()
    $shell.Runspace = $runspace
    # The true Remove-Item deletes files of this machine. Nothing of that name is defined: the dispatcher, which uses it too, is only told where to find another.
    [void]$shell.AddScript({
        $dispatcher = Import-Module -Name $env:WARMSITE_MOCK_DISPATCHER -PassThru
        & $dispatcher { $script:commands['Remove-Item'] = New-Object Management.Automation.CmdletInfo 'Remove-Item', ([Warmsite.Mock.Twin].Assembly.GetType('Microsoft.PowerShell.Commands.RemoveItemCommand')) }
    }).Invoke()
    if ($shell.HadErrors) { throw $shell.Streams.Error[0] }
    $shell.Dispose()
    [pscustomobject]@{ Runspace = $runspace }
}
